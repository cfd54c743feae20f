"""Routes, their revisions and what is left of deleted ones, in the database."""

from collections.abc import Iterable, Mapping, Sequence

from sqlmodel import col, delete, select
from sqlmodel.ext.asyncio.session import AsyncSession

from towonel.hub.core.desired import Plan
from towonel.hub.store.db.transactions import Write
from towonel.hub.store.tables import BlockRow, RevisionRow, RouteRow, ServiceRow
from towonel.wire.ids import TenantId
from towonel.wire.names import ServiceKind
from towonel.wire.routes import Route, TlsMode

CHUNK = 500  # keys in one query: SQLite takes 32 766 variables, its older versions 999


async def revision(session: AsyncSession) -> int:
    """Return the number of the last change to the routes."""
    return (await session.exec(select(RevisionRow.value))).one()


async def published(session: AsyncSession, tenant_id: TenantId, group: str) -> dict[str, Route]:
    """Return the routes that a group publishes, by key."""
    query = (
        select(RouteRow)
        .join(ServiceRow, col(ServiceRow.key) == RouteRow.key)
        .where(
            ServiceRow.tenant_id == tenant_id,
            ServiceRow.group == group,
            RouteRow.tenant_id == tenant_id,
            col(RouteRow.removed_at_ms).is_(None),
        )
    )
    return {row.key: route_of(row) for row in (await session.exec(query)).all()}


async def published_by_siblings(session: AsyncSession, tenant_id: TenantId, group: str) -> set[str]:
    """Return the keys that other groups of the tenant publish."""
    query = select(ServiceRow.key).where(
        ServiceRow.tenant_id == tenant_id, ServiceRow.group != group
    )
    return set((await session.exec(query)).all())


async def tenants_of(session: AsyncSession, keys: Sequence[str]) -> Mapping[str, TenantId]:
    """Return the tenant of each of these keys that somebody publishes, live or suspended."""
    found: dict[str, TenantId] = {}
    for start in range(0, len(keys), CHUNK):
        query = select(ServiceRow.key, ServiceRow.tenant_id).where(
            col(ServiceRow.key).in_(keys[start : start + CHUNK])
        )
        found |= {key: TenantId(tenant) for key, tenant in (await session.exec(query)).all()}
    return found


async def apply(change: Write, tenant_id: TenantId, group: str, plan: Plan, now_ms: int) -> None:
    """Carry out a plan; the routes of siblings that stay are touched only where they change."""
    keys = [route.key for route in (*plan.created, *plan.changed)]
    rows = await rows_of(change.session, keys)
    for route in (*plan.created, *plan.changed):
        row = rows.get(route.key)
        if row is None or row.removed_at_ms is not None or route_of(row) != route:
            await put(change, route, row)
    await _add_services(change, tenant_id, group, [route.key for route in plan.created], now_ms)
    await remove(change, [route.key for route in plan.deleted], now_ms)


async def drop_services(
    change: Write, tenant_id: TenantId, group: str, keep: Iterable[str]
) -> None:
    """Forget what a group published and does no more."""
    await change.session.exec(
        delete(ServiceRow).where(
            col(ServiceRow.tenant_id) == tenant_id,
            col(ServiceRow.group) == group,
            col(ServiceRow.key).not_in(list(keep)),
        )
    )


async def block_tenant(change: Write, tenant_id: TenantId, now_ms: int) -> None:
    """Void a tenant's grants: its sessions end, and no edge takes it."""
    number = await change.next_revision()
    await change.session.merge(BlockRow(tenant_id=tenant_id, revision=number, blocked_at_ms=now_ms))


async def unblock_tenant(change: Write, tenant_id: TenantId, now_ms: int) -> None:
    """Let a tenant's grants hold again."""
    number = await change.next_revision()
    row = BlockRow(tenant_id=tenant_id, revision=number, blocked_at_ms=now_ms, lifted=True)
    await change.session.merge(row)


async def withdraw(change: Write, tenant_id: TenantId, now_ms: int) -> None:
    """Remove all that a tenant published."""
    query = select(RouteRow.key).where(
        RouteRow.tenant_id == tenant_id, col(RouteRow.removed_at_ms).is_(None)
    )
    keys = list((await change.session.exec(query)).all())
    await remove(change, keys, now_ms)
    await change.session.exec(delete(ServiceRow).where(col(ServiceRow.tenant_id) == tenant_id))


def route_of(row: RouteRow) -> Route:
    """Return the route that a row holds."""
    return Route(
        ServiceKind(row.kind), row.name, TenantId(row.tenant_id), row.port, TlsMode(row.tls_mode)
    )


async def rows_of(session: AsyncSession, keys: Sequence[str]) -> dict[str, RouteRow]:
    """Return the rows of these keys, removed ones included."""
    found: dict[str, RouteRow] = {}
    for start in range(0, len(keys), CHUNK):
        query = select(RouteRow).where(col(RouteRow.key).in_(keys[start : start + CHUNK]))
        found |= {row.key: row for row in (await session.exec(query)).all()}
    return found


async def remove(change: Write, keys: Sequence[str], now_ms: int) -> None:
    """Remove routes that are live; edges are told that they are gone."""
    for row in (await rows_of(change.session, keys)).values():
        if row.removed_at_ms is None:
            row.revision = await change.next_revision()
            row.removed_at_ms = now_ms
            change.session.add(row)


async def put(change: Write, route: Route, row: RouteRow | None) -> None:
    """Make a route live, or what is new about it.

    Args:
        change: the write that it is part of.
        route: what there shall be.
        row: of the same key, as `rows_of` returned it; none for a new key.
    """
    new = RouteRow(
        key=route.key,
        kind=str(route.kind),
        name=route.name,
        port=route.port,
        tenant_id=route.tenant_id,
        tls_mode=str(route.tls_mode),
        revision=await change.next_revision(),
    )
    change.session.add(new if row is None else row.sqlmodel_update(new))


async def _add_services(
    change: Write, tenant_id: TenantId, group: str, keys: Iterable[str], now_ms: int
) -> None:
    query = select(ServiceRow.key).where(
        ServiceRow.tenant_id == tenant_id, ServiceRow.group == group
    )
    known = set((await change.session.exec(query)).all())
    change.session.add_all(
        ServiceRow(tenant_id=tenant_id, group=group, key=key, created_at_ms=now_ms)
        for key in keys
        if key not in known
    )
