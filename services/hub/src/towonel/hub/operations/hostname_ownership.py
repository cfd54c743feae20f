"""Reconciliation of routes with the ownership of hostnames, and placeholder routes.

An edge serves a name by its exact route, else by its wildcard's. If one tenant's invite has `app.example.eu`
and another tenant publishes `*.example.eu`, the exact name needs a route of its owner even while it is not
published: a *placeholder* route, which has no service, and keeps the wildcard from serving the name.
"""

from collections.abc import Collection, Iterable, Sequence
from itertools import batched

from sqlmodel import col, delete, or_, select
from sqlmodel.ext.asyncio.session import AsyncSession

from towonel.hub.core.ownership import candidates, find_owner, is_wildcard
from towonel.hub.store.db.transactions import Write
from towonel.hub.store.invites import find_owners
from towonel.hub.store.routes import CHUNK, find_rows, put, remove
from towonel.hub.store.tables import InviteHostnameRow, RouteRow, ServiceRow
from towonel.wire.ids import TenantId
from towonel.wire.names import Hostname, ServiceKind, wildcard_of
from towonel.wire.routes import Route


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
        rows = await find_rows(session, [f"https:{name}" for name in some])
        owners = await find_owners(session, {p for name in some for p in candidates(name)})
        for key, row in rows.items():
            owner = find_owner(Hostname(row.name), owners)
            if row.removed_at_ms is None and owner != row.tenant_id:
                lost.append(Hostname(row.name))
                await session.exec(delete(ServiceRow).where(col(ServiceRow.key) == key))
    return lost


async def _live_names_below(session: AsyncSession, wildcards: Sequence[Hostname]) -> list[Hostname]:
    """Return the names of live routes that one of the wildcards covers."""
    names: list[Hostname] = []
    for wildcard in wildcards:
        query = select(RouteRow.name).where(
            RouteRow.kind == str(ServiceKind.HTTPS),
            col(RouteRow.removed_at_ms).is_(None),
            col(RouteRow.name).endswith(wildcard[1:], autoescape=True),
        )
        names += map(Hostname, (await session.exec(query)).all())
    return names


async def _exact_patterns_below(
    session: AsyncSession, wildcards: Sequence[Hostname]
) -> list[Hostname]:
    """Return the exact patterns of active invites that one of the wildcards covers."""
    patterns: list[Hostname] = []
    for wildcard in wildcards:
        query = select(InviteHostnameRow.pattern).where(
            InviteHostnameRow.active,
            or_(
                col(InviteHostnameRow.parent) == wildcard,
                col(InviteHostnameRow.parent).endswith(wildcard[1:], autoescape=True),
            ),
        )
        patterns += map(Hostname, (await session.exec(query)).all())
    return patterns
