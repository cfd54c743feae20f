"""What follows when hostnames change owner: routes that end, and names kept from a wildcard.

An edge serves a name by its exact route, else by its wildcard's. So where an invite has `app.example.eu` and
another tenant `*.example.eu`, the name has a route of its owner even while nobody publishes it: a *kept*
route, which no service stands behind, and which keeps the wildcard from answering for it.
"""

from collections.abc import Collection, Iterable, Sequence
from itertools import batched

from sqlmodel import col, delete, or_, select
from sqlmodel.ext.asyncio.session import AsyncSession

from towonel.hub.core.ownership import candidates, is_wildcard, owner_of
from towonel.hub.store.db.transactions import Write
from towonel.hub.store.invites import pattern_owners
from towonel.hub.store.routes import CHUNK, put, remove, rows_of
from towonel.hub.store.tables import InviteHostnameRow, RouteRow, ServiceRow
from towonel.wire.ids import TenantId
from towonel.wire.names import Hostname, ServiceKind, wildcard_of
from towonel.wire.routes import Route


async def reconcile_ownership(change: Write, patterns: Collection[Hostname], now_ms: int) -> None:
    """Make routes agree with who owns what, after invites got or lost these patterns."""
    wildcards = [pattern for pattern in patterns if is_wildcard(pattern)]
    exact = [pattern for pattern in patterns if not is_wildcard(pattern)]
    below = await _live_below(change.session, wildcards)
    lost = await _outranked(change, [*exact, *below])
    await remove(change, [f"https:{name}" for name in lost], now_ms)
    kept = await _exact_patterns_below(change.session, wildcards)
    await reconcile_placeholders(change, {*exact, *kept, *lost}, now_ms)


async def reconcile_placeholders(change: Write, names: Iterable[Hostname], now_ms: int) -> None:
    """Add and remove kept routes, after these names were published, withdrawn, got or lost."""
    exact = sorted({name for name in names if not is_wildcard(name)})
    for some in batched(exact, CHUNK, strict=False):
        await _reconcile_placeholders(change, some, now_ms)


async def _reconcile_placeholders(change: Write, names: Sequence[Hostname], now_ms: int) -> None:
    session = change.session
    keys = {f"https:{name}": name for name in names}
    rows = await rows_of(session, list(keys))
    query = select(ServiceRow.key).where(col(ServiceRow.key).in_(list(keys)))
    published = set((await session.exec(query)).all())
    owners = await pattern_owners(session, {p for name in names for p in candidates(name)})
    needless: list[str] = []
    for key, name in keys.items():
        if key in published:
            continue
        row = rows.get(key)
        is_live = row is not None and row.removed_at_ms is None
        above = wildcard_of(name)
        holder = owners.get(name)
        rival = owner_of(above, owners) if above is not None else None
        if holder is None or rival in {None, holder}:
            needless += [key] if is_live else []
        elif row is None or not is_live or row.tenant_id != holder:
            await put(change, Route(ServiceKind.HTTPS, name, TenantId(holder)), row)
    await remove(change, needless, now_ms)


async def _outranked(change: Write, names: Sequence[Hostname]) -> list[Hostname]:
    """Return the names whose routes are not their owner's, and forget who published them."""
    session = change.session
    lost: list[Hostname] = []
    for some in batched(names, CHUNK, strict=False):
        rows = await rows_of(session, [f"https:{name}" for name in some])
        owners = await pattern_owners(session, {p for name in some for p in candidates(name)})
        for key, row in rows.items():
            owner = owner_of(Hostname(row.name), owners)
            if row.removed_at_ms is None and owner != row.tenant_id:
                lost.append(Hostname(row.name))
                await session.exec(delete(ServiceRow).where(col(ServiceRow.key) == key))
    return lost


async def _live_below(session: AsyncSession, wildcards: Sequence[Hostname]) -> list[Hostname]:
    """Return the names with a live route that a wildcard covers."""
    found: list[Hostname] = []
    for wildcard in wildcards:
        query = select(RouteRow.name).where(
            RouteRow.kind == str(ServiceKind.HTTPS),
            col(RouteRow.removed_at_ms).is_(None),
            col(RouteRow.name).endswith(wildcard[1:], autoescape=True),
        )
        found += map(Hostname, (await session.exec(query)).all())
    return found


async def _exact_patterns_below(
    session: AsyncSession, wildcards: Sequence[Hostname]
) -> list[Hostname]:
    """Return the exact patterns of live invites whose wildcard one of these covers."""
    found: list[Hostname] = []
    for wildcard in wildcards:
        query = select(InviteHostnameRow.pattern).where(
            InviteHostnameRow.active,
            or_(
                col(InviteHostnameRow.parent) == wildcard,
                col(InviteHostnameRow.parent).endswith(wildcard[1:], autoescape=True),
            ),
        )
        found += map(Hostname, (await session.exec(query)).all())
    return found
