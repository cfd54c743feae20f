"""Reconciliation of routes with the ownership of hostnames, and placeholder routes.

An edge serves a name by its exact route, else by its wildcard's. If one tenant's invite has `app.example.eu`
and another tenant publishes `*.example.eu`, the exact name needs a route of its owner even while it is not
published: a *placeholder* route, which has no service, and keeps the wildcard from serving the name.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from itertools import batched
from typing import Any

from sqlmodel import col, delete, or_, select
from sqlmodel.ext.asyncio.session import AsyncSession
from sqlmodel.sql.expression import SelectOfScalar

from towonel.hub.core.ownership import (
    candidates,
    find_owner,
    find_taken,
    is_covered,
    is_wildcard,
)
from towonel.hub.store.db.transactions import Write
from towonel.hub.store.invites import find_owners, name_holders
from towonel.hub.store.route_history import ROWS_AT_ONCE
from towonel.hub.store.routes import CHUNK, find_rows, put, remove
from towonel.hub.store.tables import InviteHostnameRow, RouteRow, ServiceRow
from towonel.wire.errors import Code, Denied
from towonel.wire.ids import TenantId
from towonel.wire.names import Hostname, ServiceKind, wildcard_of
from towonel.wire.routes import Route

MAX_SCANS = 2  # of a table, each for one wildcard: SQL compares faster than we do


async def check_free(write: Write, patterns: Sequence[Hostname]) -> None:
    """Check that no active invite has one of these patterns.

    Raises:
        Denied: HOSTNAME_CONFLICT, naming those that one has, and which.
    """
    conflicts = find_taken(patterns, await find_owners(write.session, patterns))
    if conflicts:
        holders = await name_holders(write.session, conflicts, write.now_ms)
        raise Denied(Code.HOSTNAME_CONFLICT, f"another invite has already: {holders}")


async def reconcile_ownership(write: Write, patterns: Collection[Hostname]) -> None:
    """Update routes after invites gained or lost these patterns."""
    wildcards = [pattern for pattern in patterns if is_wildcard(pattern)]
    exact = [pattern for pattern in patterns if not is_wildcard(pattern)]
    below = await _live_names_below(write.session, wildcards)
    lost = await _drop_foreign_services(write, [*exact, *below])
    await remove(write, [f"https:{name}" for name in lost])
    covered = await _exact_patterns_below(write.session, wildcards)
    await reconcile_placeholders(write, {*exact, *covered, *lost})


async def reconcile_placeholders(write: Write, names: Iterable[Hostname]) -> None:
    """Add and remove placeholder routes, after these names were withdrawn or changed owner."""
    exact = sorted({name for name in names if not is_wildcard(name)})
    for some in batched(exact, CHUNK, strict=False):
        await _reconcile_placeholders(write, some)


async def _reconcile_placeholders(write: Write, names: Sequence[Hostname]) -> None:
    session = write.session
    keys = {f"https:{name}": name for name in names}
    rows = await find_rows(session, list(keys))
    query = select(ServiceRow.key).where(col(ServiceRow.key).in_(list(keys)))
    published = set((await session.exec(query)).all())
    owners = await find_owners(session, {p for name in names for p in candidates(name)})
    obsolete: list[str] = []
    for key, name in keys.items():
        if key in published:
            continue
        row = rows.get(key)
        is_live = row is not None and row.removed_at_ms is None
        above = wildcard_of(name)
        holder = owners.get(name)
        rival = find_owner(above, owners) if above is not None else None
        if holder is None or rival in {None, holder}:
            obsolete += [key] if is_live else []
        elif row is None or not is_live or row.tenant_id != holder:
            await put(write, Route(ServiceKind.HTTPS, name, TenantId(holder)), row)
    await remove(write, obsolete)


async def _drop_foreign_services(write: Write, names: Sequence[Hostname]) -> list[Hostname]:
    """Delete the services of names that another tenant owns now; returns these names."""
    session = write.session
    lost: list[Hostname] = []
    for some in batched(names, CHUNK, strict=False):
        keys = [f"https:{name}" for name in some]
        query = select(RouteRow.name, RouteRow.tenant_id).where(
            col(RouteRow.key).in_(keys), col(RouteRow.removed_at_ms).is_(None)
        )
        owners = await find_owners(session, {p for name in some for p in candidates(name)})
        foreign = [
            Hostname(name)
            for name, tenant_id in (await session.exec(query)).all()
            if find_owner(Hostname(name), owners) != tenant_id
        ]
        of_others = col(ServiceRow.key).in_([f"https:{name}" for name in foreign])
        await session.exec(delete(ServiceRow).where(of_others))
        lost += foreign
    return lost


async def _live_names_below(session: AsyncSession, wildcards: Sequence[Hostname]) -> list[Hostname]:
    """Return the names of live routes that one of the wildcards covers."""
    name = col(RouteRow.name)
    live = select(name).where(
        RouteRow.kind == str(ServiceKind.HTTPS), col(RouteRow.removed_at_ms).is_(None)
    )
    return await _find_covered(
        session, wildcards, live, lambda it: name.endswith(it[1:], autoescape=True)
    )


async def _exact_patterns_below(
    session: AsyncSession, wildcards: Sequence[Hostname]
) -> list[Hostname]:
    """Return the exact patterns of active invites that one of the wildcards covers."""
    parent = col(InviteHostnameRow.parent)
    exact = select(InviteHostnameRow.pattern).where(InviteHostnameRow.active, parent.is_not(None))
    return await _find_covered(
        session,
        wildcards,
        exact,
        lambda it: or_(parent == it, parent.endswith(it[1:], autoescape=True)),
    )


async def _find_covered(
    session: AsyncSession,
    wildcards: Sequence[Hostname],
    query: SelectOfScalar[str],
    condition: Callable[[Hostname], Any],
) -> list[Hostname]:
    """Return the names of a query that one of the wildcards covers.

    Args:
        session: of the database.
        wildcards: many of them are looked up in one scan: a scan for each held the write lock for seconds.
        query: of the names.
        condition: of the names that one wildcard covers.
    """
    if len(wildcards) <= MAX_SCANS:
        found = [(await session.exec(query.where(condition(it)))).all() for it in wildcards]
        return [Hostname(name) for names in found for name in names]
    patterns, covered = frozenset(wildcards), list[Hostname]()
    async with (await session.connection()).stream(query) as names:
        async for some in names.scalars().partitions(ROWS_AT_ONCE):
            covered += [Hostname(name) for name in some if is_covered(Hostname(name), patterns)]
    return covered
