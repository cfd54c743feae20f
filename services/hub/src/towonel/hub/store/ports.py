"""Repository of port reservations, and of published ports."""

from collections.abc import Sequence

from sqlmodel import col, delete, func, select
from sqlmodel.ext.asyncio.session import AsyncSession

from towonel.hub.core.ports import Range
from towonel.hub.store import routes
from towonel.hub.store.db.pagination import Paged, Paging, page
from towonel.hub.store.db.transactions import Write
from towonel.hub.store.tables import ReservationRow, RouteRow, ServiceRow
from towonel.wire.ids import TenantId
from towonel.wire.names import ServiceKind
from towonel.wire.routes import Route


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
    """Return the routes on these ports, each as a range of one."""
    query = select(RouteRow.port, RouteRow.tenant_id).where(
        RouteRow.kind == protocol,
        col(RouteRow.removed_at_ms).is_(None),
        col(RouteRow.port) >= first,
        col(RouteRow.port) <= last,
    )
    return [
        Range(protocol, port, port, TenantId(tenant))
        for port, tenant in (await session.exec(query)).all()
        if port is not None
    ]


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
