"""Repository of routes: live ones, tombstones, and the services behind them."""

from collections.abc import Iterable, Mapping, Sequence

from sqlmodel import col, delete, func, select
from sqlmodel.ext.asyncio.session import AsyncSession

from towonel.hub.core.desired_state import Plan
from towonel.hub.store.db.transactions import Write
from towonel.hub.store.tables import (
    BlockRow,
    RevisionRow,
    RouteRow,
    ServiceRow,
)
from towonel.wire.ids import TenantId
from towonel.wire.names import ServiceKind
from towonel.wire.policy.client_networks import decode_networks
from towonel.wire.routes import Route, TlsMode

CHUNK = 500  # keys in one query: SQLite takes 32 766 variables, its older versions 999


async def get_revision(session: AsyncSession) -> int:
    """Return the current revision of the routes."""
    return (await session.exec(select(RevisionRow.value))).one()


async def find_published(
    session: AsyncSession, tenant_id: TenantId, group: str
) -> dict[str, Route]:
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


async def find_siblings(session: AsyncSession, tenant_id: TenantId, group: str) -> set[str]:
    """Return the keys that other groups of the tenant publish."""
    of_others = (col(ServiceRow.tenant_id) == tenant_id) & (col(ServiceRow.group) != group)
    return set((await session.exec(select(ServiceRow.key).where(of_others).distinct())).all())


async def count_siblings(session: AsyncSession, tenant_id: TenantId, group: str) -> dict[str, int]:
    """Return the number of services of each other group of the tenant that has any."""
    of_others = (col(ServiceRow.tenant_id) == tenant_id) & (col(ServiceRow.group) != group)
    counts = select(ServiceRow.group, func.count()).where(of_others).group_by(ServiceRow.group)
    return dict((await session.exec(counts)).all())


async def find_tenants(session: AsyncSession, keys: Sequence[str]) -> Mapping[str, TenantId]:
    """Return the tenant of each published one of these keys, suspended or not."""
    found: dict[str, TenantId] = {}
    for start in range(0, len(keys), CHUNK):
        query = select(ServiceRow.key, ServiceRow.tenant_id).where(
            col(ServiceRow.key).in_(keys[start : start + CHUNK])
        )
        found |= {key: TenantId(tenant) for key, tenant in (await session.exec(query)).all()}
    return found


async def apply(write: Write, tenant_id: TenantId, group: str, plan: Plan) -> None:
    """Apply a plan; routes that sibling groups publish too are written only if they change."""
    keys = [route.key for route in (*plan.created, *plan.changed)]
    rows = await find_rows(write.session, keys)
    for route in (*plan.created, *plan.changed):
        row = rows.get(route.key)
        if row is None or row.removed_at_ms is not None or route_of(row) != route:
            await put(write, route, row)
    await _add_services(write, tenant_id, group, [route.key for route in plan.created])
    await remove(write, [route.key for route in plan.deleted])


async def drop_services(write: Write, tenant_id: TenantId, group: str, keep: Iterable[str]) -> None:
    """Delete the services of a group but those of the kept keys."""
    await write.session.exec(
        delete(ServiceRow).where(
            col(ServiceRow.tenant_id) == tenant_id,
            col(ServiceRow.group) == group,
            col(ServiceRow.key).not_in(list(keep)),
        )
    )


async def block_tenant(write: Write, tenant_id: TenantId) -> None:
    """Block a tenant: its grants are void, its sessions end, and edges refuse it."""
    number = await write.next_revision()
    row = BlockRow(tenant_id=tenant_id, revision=number, blocked_at_ms=write.now_ms)
    await write.session.merge(row)


async def unblock_tenant(write: Write, tenant_id: TenantId) -> None:
    """Unblock a tenant: its grants are valid again."""
    number = await write.next_revision()
    row = BlockRow(tenant_id=tenant_id, revision=number, blocked_at_ms=write.now_ms, lifted=True)
    await write.session.merge(row)


async def withdraw(write: Write, tenant_id: TenantId) -> None:
    """Remove all routes and services of a tenant."""
    query = select(RouteRow.key).where(
        RouteRow.tenant_id == tenant_id, col(RouteRow.removed_at_ms).is_(None)
    )
    keys = list((await write.session.exec(query)).all())
    await remove(write, keys)
    await write.session.exec(delete(ServiceRow).where(col(ServiceRow.tenant_id) == tenant_id))


def route_of(row: RouteRow) -> Route:
    """Return the route of a row."""
    return Route(
        ServiceKind(row.kind),
        row.name,
        TenantId(row.tenant_id),
        row.port,
        TlsMode(row.tls_mode),
        decode_networks(row.client_networks),
        row.last_port,
        row.http2,
    )


async def find_rows(session: AsyncSession, keys: Sequence[str]) -> dict[str, RouteRow]:
    """Return the rows of these keys, tombstones included."""
    found: dict[str, RouteRow] = {}
    for start in range(0, len(keys), CHUNK):
        query = select(RouteRow).where(col(RouteRow.key).in_(keys[start : start + CHUNK]))
        found |= {row.key: row for row in (await session.exec(query)).all()}
    return found


async def remove(write: Write, keys: Sequence[str]) -> None:
    """Turn live routes into tombstones."""
    for row in (await find_rows(write.session, keys)).values():
        if row.removed_at_ms is None:
            row.revision = await write.next_revision()
            row.removed_at_ms = write.now_ms
            write.session.add(row)


async def put(write: Write, route: Route, row: RouteRow | None) -> None:
    """Insert or update a live route.

    Args:
        write: the transaction.
        route: the new value.
        row: of the same key, as `rows_of` returned it, or None for a new key.
    """
    new = RouteRow(
        key=route.key,
        kind=str(route.kind),
        name=route.name,
        port=route.port,
        last_port=route.last_port,
        tenant_id=route.tenant_id,
        tls_mode=str(route.tls_mode),
        http2=route.http2,
        client_networks=None if route.clients is None else route.clients.encode(),
        revision=await write.next_revision(),
    )
    write.session.add(new if row is None else row.sqlmodel_update(new))


async def _add_services(write: Write, tenant_id: TenantId, group: str, keys: Iterable[str]) -> None:
    query = select(ServiceRow.key).where(
        ServiceRow.tenant_id == tenant_id, ServiceRow.group == group
    )
    known = set((await write.session.exec(query)).all())
    write.session.add_all(
        ServiceRow(tenant_id=tenant_id, group=group, key=key, created_at_ms=write.now_ms)
        for key in keys
        if key not in known
    )
