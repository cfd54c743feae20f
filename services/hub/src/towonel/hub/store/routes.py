"""Routes, their revisions and what is left of deleted ones, in the database."""

from collections.abc import Iterable, Mapping, Sequence

from sqlmodel import col, delete, select
from sqlmodel.ext.asyncio.session import AsyncSession

from towonel.hub.core.desired import Plan
from towonel.hub.store.rows import BlockRow, RevisionRow, RouteRow, ServiceRow
from towonel.hub.store.session import Change
from towonel.wire.ids import TenantId
from towonel.wire.names import ServiceKind
from towonel.wire.routes import Route, RouteDelta, TlsMode

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
    """Return the tenant of each of these keys that has a route now."""
    found: dict[str, TenantId] = {}
    for start in range(0, len(keys), CHUNK):
        query = select(RouteRow.key, RouteRow.tenant_id).where(
            col(RouteRow.key).in_(keys[start : start + CHUNK]),
            col(RouteRow.removed_at_ms).is_(None),
        )
        found |= {key: TenantId(tenant) for key, tenant in (await session.exec(query)).all()}
    return found


async def apply(change: Change, tenant_id: TenantId, group: str, plan: Plan, now_ms: int) -> None:
    """Carry out a plan; the routes of siblings that stay are touched only where they change.

    A hostname that another tenant published until now, and owns no more, is taken over.
    """
    keys = [route.key for route in (*plan.created, *plan.changed)]
    rows = await _rows(change.session, keys)
    for route in (*plan.created, *plan.changed):
        row = rows.get(route.key)
        if row is None or row.removed_at_ms is not None or route_of(row) != route:
            await change.session.merge(_row(route, await change.next_revision()))
    await _take_over(change.session, tenant_id, [route.key for route in plan.created])
    for route in plan.created:
        await change.session.merge(ServiceRow(tenant_id=tenant_id, group=group, key=route.key))
    await _remove(change, [route.key for route in plan.deleted], now_ms)


async def drop_services(
    change: Change, tenant_id: TenantId, group: str, keep: Iterable[str]
) -> None:
    """Forget what a group published and does no more."""
    await change.session.exec(
        delete(ServiceRow).where(
            col(ServiceRow.tenant_id) == tenant_id,
            col(ServiceRow.group) == group,
            col(ServiceRow.key).not_in(list(keep)),
        )
    )


async def block_tenant(change: Change, tenant_id: TenantId, now_ms: int) -> None:
    """Void a tenant's grants, and remove all it published, in one revision."""
    query = select(RouteRow.key).where(
        RouteRow.tenant_id == tenant_id, col(RouteRow.removed_at_ms).is_(None)
    )
    keys = (await change.session.exec(query)).all()
    await _remove(change, keys, now_ms)
    await change.session.exec(delete(ServiceRow).where(col(ServiceRow.tenant_id) == tenant_id))
    number = await change.next_revision()
    await change.session.merge(BlockRow(tenant_id=tenant_id, revision=number, blocked_at_ms=now_ms))


async def delta(session: AsyncSession, since: int) -> RouteDelta:
    """Return what changed after a revision."""
    routes = await session.exec(select(RouteRow).where(RouteRow.revision > since))
    blocks = await session.exec(select(BlockRow.tenant_id).where(BlockRow.revision > since))
    found = routes.all()
    return RouteDelta(
        await revision(session),
        snapshot=False,
        routes=tuple(route_of(row) for row in found if row.removed_at_ms is None),
        removed=tuple(row.key for row in found if row.removed_at_ms is not None),
        blocked=tuple(TenantId(tenant) for tenant in blocks.all()),
    )


async def snapshot(session: AsyncSession) -> RouteDelta:
    """Return the whole table, and every tenant that is blocked."""
    routes = await session.exec(select(RouteRow).where(col(RouteRow.removed_at_ms).is_(None)))
    blocks = await session.exec(select(BlockRow.tenant_id))
    return RouteDelta(
        await revision(session),
        snapshot=True,
        routes=tuple(route_of(row) for row in routes.all()),
        blocked=tuple(TenantId(tenant) for tenant in blocks.all()),
    )


async def oldest_kept(session: AsyncSession) -> int:
    """Return the revision up to which traces of deleted routes were pruned; deltas begin there."""
    return (await session.exec(select(RevisionRow.pruned))).one()


def route_of(row: RouteRow) -> Route:
    """Return the route that a row holds."""
    return Route(
        ServiceKind(row.kind), row.name, TenantId(row.tenant_id), row.port, TlsMode(row.tls_mode)
    )


def _row(route: Route, number: int) -> RouteRow:
    return RouteRow(
        key=route.key,
        kind=str(route.kind),
        name=route.name,
        port=route.port,
        tenant_id=route.tenant_id,
        tls_mode=str(route.tls_mode),
        revision=number,
        removed_at_ms=None,
    )


async def _rows(session: AsyncSession, keys: Sequence[str]) -> dict[str, RouteRow]:
    found: dict[str, RouteRow] = {}
    for start in range(0, len(keys), CHUNK):
        query = select(RouteRow).where(col(RouteRow.key).in_(keys[start : start + CHUNK]))
        found |= {row.key: row for row in (await session.exec(query)).all()}
    return found


async def _take_over(session: AsyncSession, tenant_id: TenantId, keys: Sequence[str]) -> None:
    for start in range(0, len(keys), CHUNK):
        await session.exec(
            delete(ServiceRow).where(
                col(ServiceRow.key).in_(keys[start : start + CHUNK]),
                col(ServiceRow.tenant_id) != tenant_id,
            )
        )


async def _remove(change: Change, keys: Sequence[str], now_ms: int) -> None:
    for row in (await _rows(change.session, keys)).values():
        row.revision = await change.next_revision()
        row.removed_at_ms = now_ms
        change.session.add(row)
