"""Repository of port reservations, and of published ports."""

from collections.abc import Iterable, Sequence
from itertools import batched
from typing import Final

from sqlalchemy import ColumnElement
from sqlmodel import and_, col, delete, func, or_, select
from sqlmodel.ext.asyncio.session import AsyncSession

from towonel.hub.core.ports import Range
from towonel.hub.store import routes
from towonel.hub.store.db.pagination import Paged, Paging, page
from towonel.hub.store.db.transactions import Write
from towonel.hub.store.tables import ReservationRow, RouteRow, ServiceRow
from towonel.wire.ids import TenantId
from towonel.wire.names import ServiceKind
from towonel.wire.policy.port_ranges import MAX_RANGE_PORTS
from towonel.wire.routes import Route

RANGES_PER_QUERY: Final = 100  # with four variables each; SQLite's older versions take 999


async def find(session: AsyncSession, reservation_id: bytes) -> ReservationRow | None:
    """Return a reservation, or None if there is none."""
    return await session.get(ReservationRow, reservation_id)


async def list_page(
    session: AsyncSession, paging: Paging, tenant_id: bytes | None, protocol: str | None
) -> Paged[ReservationRow]:
    """Return a page of reservations, by protocol and port."""
    query = select(ReservationRow)
    if tenant_id is not None:
        query = query.where(ReservationRow.tenant_id == tenant_id)
    if protocol is not None:
        query = query.where(ReservationRow.protocol == protocol)
    order = (ReservationRow.protocol, ReservationRow.first_port, ReservationRow.reservation_id)
    return await page(session, query, paging, order)


async def list_of_tenant(session: AsyncSession, tenant_id: bytes) -> Sequence[ReservationRow]:
    """Return a tenant's reservations, by protocol and port."""
    query = select(ReservationRow).where(ReservationRow.tenant_id == tenant_id)
    order = (col(ReservationRow.protocol), col(ReservationRow.first_port))
    return (await session.exec(query.order_by(*order))).all()


async def find_reserved(session: AsyncSession, protocol: str, first: int, last: int) -> list[Range]:
    """Return the reservations that overlap these ports."""
    of_protocol = ReservationRow.protocol == protocol
    # No two of them overlap: of those that begin before, only the nearest can reach so far.
    before = select(func.max(ReservationRow.first_port)).where(
        of_protocol, ReservationRow.first_port < first
    )
    query = select(ReservationRow).where(
        of_protocol,
        ReservationRow.first_port >= func.coalesce(before.scalar_subquery(), first),
        ReservationRow.first_port <= last,
        ReservationRow.last_port >= first,
    )
    return [range_of(row) for row in (await session.exec(query)).all()]


async def find_published(
    session: AsyncSession, protocol: str, first: int, last: int
) -> list[Range]:
    """Return the ports of the routes that have any of these, each of which may be a range."""
    query = select(RouteRow.port, RouteRow.last_port, RouteRow.tenant_id).where(
        RouteRow.kind == protocol, col(RouteRow.removed_at_ms).is_(None), _share_ports(first, last)
    )
    return [
        Range(protocol, port, last_port or port, TenantId(tenant))
        for port, last_port, tenant in (await session.exec(query)).all()
        if port is not None
    ]


async def find_overlapping(
    session: AsyncSession, desired_routes: Iterable[Route]
) -> dict[str, Route]:
    """Return the live routes that share a port with one of these, and are others, by key."""
    found: dict[str, Route] = {}
    wanted = {route.key: route for route in desired_routes if route.port is not None}
    for some in batched(wanted.values(), RANGES_PER_QUERY, strict=False):
        conditions = [
            and_(RouteRow.kind == str(route.kind), _share_ports(route.ports[0], route.ports[-1]))
            for route in some
        ]
        query = select(RouteRow).where(col(RouteRow.removed_at_ms).is_(None), or_(*conditions))
        rows = (await session.exec(query)).all()
        found |= {row.key: routes.route_of(row) for row in rows if row.key not in wanted}
    return found


def _share_ports(first: int, last: int) -> ColumnElement[bool]:
    """Return the condition of routes that have any of these ports; an index on the first one is enough for it."""
    begins = col(RouteRow.port).between(first - MAX_RANGE_PORTS + 1, last)
    ends = func.coalesce(RouteRow.last_port, RouteRow.port) >= first
    return and_(begins, ends)


async def find_elsewhere(
    session: AsyncSession, tenant_id: TenantId, group: str
) -> list[tuple[str, Route]]:
    """Return the routes on ports that other groups of the tenant publish, each with its group."""
    query = (
        select(ServiceRow.group, RouteRow)
        .join(RouteRow, col(RouteRow.key) == ServiceRow.key)
        .where(
            ServiceRow.tenant_id == tenant_id,
            ServiceRow.group != group,
            col(RouteRow.kind).in_((ServiceKind.TCP.value, ServiceKind.UDP.value)),
            RouteRow.tenant_id == tenant_id,
            col(RouteRow.removed_at_ms).is_(None),
        )
    )
    return [(name, routes.route_of(row)) for name, row in (await session.exec(query)).all()]


async def add(write: Write, row: ReservationRow) -> None:
    """Add a reservation."""
    write.session.add(row)
    await write.session.flush()


async def release(write: Write, row: ReservationRow) -> None:
    """Delete a reservation."""
    await write.session.delete(row)


async def release_all(write: Write, tenant_id: bytes) -> None:
    """Delete all reservations of a tenant."""
    await write.session.exec(
        delete(ReservationRow).where(col(ReservationRow.tenant_id) == tenant_id)
    )


def range_of(row: ReservationRow) -> Range:
    """Return the range of a reservation."""
    return Range(row.protocol, row.first_port, row.last_port, TenantId(row.tenant_id))
