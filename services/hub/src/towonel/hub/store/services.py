"""Services and routes as they are listed."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlmodel import col, func, select
from sqlmodel.ext.asyncio.session import AsyncSession

from towonel.hub.store.db.pagination import Paged, Paging, page
from towonel.hub.store.routes import rows_of
from towonel.hub.store.tables import RouteRow, ServiceRow


@dataclass(frozen=True, slots=True)
class ServiceFilter:
    """Which are asked for; what is none does not matter."""

    tenant_id: bytes | None = None
    kind: str | None = None
    group: str | None = None


async def services(
    session: AsyncSession, paging: Paging, wanted: ServiceFilter
) -> Paged[ServiceRow]:
    """Return a page of services, by key."""
    query = select(ServiceRow)
    conditions: list[Any] = []
    if wanted.tenant_id is not None:
        conditions.append(ServiceRow.tenant_id == wanted.tenant_id)
    if wanted.group is not None:
        conditions.append(ServiceRow.group == wanted.group)
    if wanted.kind is not None:
        conditions.append(col(ServiceRow.key).startswith(f"{wanted.kind}:"))
        if session.get_bind().dialect.name == "sqlite":
            # It finds no range in a pattern. Postgres may: most of its collations put ";" before ":".
            conditions += [
                col(ServiceRow.key) >= f"{wanted.kind}:",
                col(ServiceRow.key) < f"{wanted.kind};",
            ]
    order = (ServiceRow.key, ServiceRow.tenant_id, ServiceRow.group)
    return await page(session, query.where(*conditions), paging, order)


async def services_of_key(session: AsyncSession, key: str) -> Sequence[ServiceRow]:
    """Return every group's service behind one route."""
    query = select(ServiceRow).where(ServiceRow.key == key).order_by(col(ServiceRow.group))
    return (await session.exec(query)).all()


async def routes(session: AsyncSession, paging: Paging, wanted: ServiceFilter) -> Paged[RouteRow]:
    """Return a page of live routes, by key."""
    query = select(RouteRow).where(col(RouteRow.removed_at_ms).is_(None))
    if wanted.tenant_id is not None:
        query = query.where(RouteRow.tenant_id == wanted.tenant_id)
    if wanted.kind is not None:
        query = query.where(RouteRow.kind == wanted.kind)
    return await page(session, query, paging, (RouteRow.key,))


async def live_route(session: AsyncSession, key: str) -> RouteRow | None:
    """Return the route of a key, if it has one."""
    row = (await rows_of(session, [key])).get(key)
    return None if row is None or row.removed_at_ms is not None else row


async def count_services(session: AsyncSession, tenant_id: bytes) -> int:
    """Return how many routes a tenant's groups publish."""
    query = select(func.count(func.distinct(ServiceRow.key))).where(
        ServiceRow.tenant_id == tenant_id
    )
    return (await session.exec(query)).one()
