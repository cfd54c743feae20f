"""Queries that list services and routes."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import batched
from typing import Any

from sqlmodel import col, func, select
from sqlmodel.ext.asyncio.session import AsyncSession

from towonel.hub.store.db.pagination import Paged, Paging, page
from towonel.hub.store.routes import CHUNK, find_rows, route_of
from towonel.hub.store.tables import AgentRow, RouteRow, ServiceRow
from towonel.wire.ids import TenantId
from towonel.wire.names import ServiceKind
from towonel.wire.routes import Route


@dataclass(frozen=True, slots=True)
class ServiceFilter:
    """Filter of services and routes; a field that is None is ignored."""

    tenant_id: bytes | None = None
    kind: str | None = None
    group: str | None = None


async def list_services(
    session: AsyncSession, paging: Paging, matching: ServiceFilter
) -> Paged[ServiceRow]:
    """Return a page of services, by key."""
    query = select(ServiceRow)
    conditions: list[Any] = []
    if matching.tenant_id is not None:
        conditions.append(ServiceRow.tenant_id == matching.tenant_id)
    if matching.group is not None:
        conditions.append(ServiceRow.group == matching.group)
    if matching.kind is not None:
        conditions.append(col(ServiceRow.key).startswith(f"{matching.kind}:"))
        if session.get_bind().dialect.name == "sqlite":
            # It derives no index range from a pattern. Not on Postgres: most of its collations put ";"
            # before ":".
            conditions += [
                col(ServiceRow.key) >= f"{matching.kind}:",
                col(ServiceRow.key) < f"{matching.kind};",
            ]
    order = (ServiceRow.key, ServiceRow.tenant_id, ServiceRow.group)
    return await page(session, query.where(*conditions), paging, order)


async def find_services(session: AsyncSession, key: str) -> Sequence[ServiceRow]:
    """Return every group's service behind one route."""
    query = select(ServiceRow).where(ServiceRow.key == key).order_by(col(ServiceRow.group))
    return (await session.exec(query)).all()


async def list_routes(
    session: AsyncSession, paging: Paging, matching: ServiceFilter
) -> Paged[RouteRow]:
    """Return a page of live routes, by key."""
    query = select(RouteRow).where(col(RouteRow.removed_at_ms).is_(None))
    if matching.tenant_id is not None:
        query = query.where(RouteRow.tenant_id == matching.tenant_id)
    if matching.kind is not None:
        query = query.where(RouteRow.kind == matching.kind)
    return await page(session, query, paging, (RouteRow.key,))


async def find_live_route(session: AsyncSession, key: str) -> RouteRow | None:
    """Return the live route of a key, or None."""
    row = (await find_rows(session, [key])).get(key)
    return None if row is None or row.removed_at_ms is not None else row


async def count_services(session: AsyncSession, tenant_id: bytes) -> int:
    """Return how many routes a tenant's groups publish."""
    query = select(func.count(func.distinct(ServiceRow.key))).where(
        ServiceRow.tenant_id == tenant_id
    )
    return (await session.exec(query)).one()


async def find_beside(
    session: AsyncSession,
    tenant_id: TenantId,
    group: str,
    desired_routes: Iterable[Route],
    now_ms: int,
) -> list[tuple[str, Route]]:
    """Return the routes of desired hostnames that other groups of the tenant publish, each with its group.

    Groups of which no agent has a valid grant are left out: nobody serves what they have published.
    """
    keys = [route.key for route in desired_routes if route.kind is ServiceKind.HTTPS]
    is_group = (AgentRow.tenant_id == ServiceRow.tenant_id) & (AgentRow.group == ServiceRow.group)
    has_grant = col(AgentRow.grant_until_ms) > now_ms
    found: list[tuple[str, Route]] = []
    for some in batched(keys, CHUNK, strict=False):
        query = (
            select(ServiceRow.group, RouteRow)
            .join(RouteRow, col(RouteRow.key) == ServiceRow.key)
            .where(
                ServiceRow.tenant_id == tenant_id,
                ServiceRow.group != group,
                col(ServiceRow.key).in_(some),
                RouteRow.tenant_id == tenant_id,
                col(RouteRow.removed_at_ms).is_(None),
                select(AgentRow.agent_id).where(is_group, has_grant).exists(),
            )
        )
        found += [(name, route_of(row)) for name, row in (await session.exec(query)).all()]
    return found
