"""Endpoints of port reservations."""

from typing import Annotated

from fastapi import Query
from sqlmodel.ext.asyncio.session import AsyncSession

from towonel.api.ports import (
    AvailablePorts,
    Protocol,
    ReleasedOut,
    Reservation,
    ReservationIn,
    ReservationPage,
)
from towonel.hub.api.http.auth import Caller, TenantOperator, TenantViewer, Viewer
from towonel.hub.api.http.errors import error_responses
from towonel.hub.api.http.idempotency import Idempotent, idempotent
from towonel.hub.api.http.parameters import InviteId, OfTenant, Page, parse_id
from towonel.hub.api.http.router import create_router
from towonel.hub.api.presenters.tenants import to_reservation
from towonel.hub.context import HubDep
from towonel.hub.operations import reserve_ports as operations
from towonel.hub.store import ports as store
from towonel.hub.store import tenants
from towonel.hub.store.tables import REVOKED, InviteRow, ReservationRow
from towonel.wire.errors import Code, Denied

router = create_router("/v1/ports", tags=["ports"])
MAX_AVAILABLE = 200


@router.get("", responses=error_responses(400))
async def list_ports(
    hub: HubDep,
    caller: TenantViewer,
    paging: Page,
    tenant_id: OfTenant,
    protocol: Annotated[Protocol | None, Query(description="Only of this protocol.")] = None,
) -> ReservationPage:
    """List the ports that are kept for tenants, by protocol and number."""
    tenant = caller.principal.scope(tenant_id)
    async with hub.store.read() as session:
        page = await store.list_page(session, paging, tenant, protocol)
    items = [to_reservation(row) for row in page.rows]
    return ReservationPage(ports=items, next_cursor=page.next_cursor)


@router.get("/available", responses=error_responses(400))
async def available_ports(
    hub: HubDep,
    caller: Viewer,
    protocol: Protocol,
    count: Annotated[int, Query(ge=1, le=MAX_AVAILABLE)] = 1,
) -> AvailablePorts:
    """Tell the lowest ports that nobody has or keeps."""
    async with hub.store.read() as session:
        ports = await operations.free_ports(hub, session, protocol, count)
    return AvailablePorts(protocol=protocol, ports=ports)


@router.post("", responses=error_responses(400, 404, 409))
async def reserve_ports(
    hub: HubDep, caller: TenantOperator, body: ReservationIn, request: Idempotent
) -> Reservation:
    """Keep a port or a range of ports for a tenant; without a number, the lowest free one."""
    async with (
        hub.store.write() as write,
        idempotent(write, caller, request, Reservation) as answer,
    ):
        if answer.is_new:
            tenant = await _get_active_tenant(write.session, caller, body.tenant_id)
            row = await operations.reserve_ports(hub, write, caller.actor, tenant, body)
            answer.body = to_reservation(row)
    return answer.body


@router.get("/{reservation_id}", responses=error_responses(400, 404))
async def get_port_reservation(
    hub: HubDep, caller: TenantViewer, reservation_id: InviteId
) -> Reservation:
    """Show what is kept under one id."""
    async with hub.store.read() as session:
        return to_reservation(await _get_or_404(session, caller, reservation_id))


@router.delete("/{reservation_id}", responses=error_responses(400, 404))
async def release_ports(
    hub: HubDep, caller: TenantOperator, reservation_id: InviteId
) -> ReleasedOut:
    """Keep ports no more; what is published on them stays until its tenant ends it."""
    async with hub.store.write() as write:
        row = await _get_or_404(write.session, caller, reservation_id)
        await operations.release_ports(write, caller.actor, row)
    return ReleasedOut(reservation_id=reservation_id)


async def _get_or_404(session: AsyncSession, caller: Caller, reservation_id: str) -> ReservationRow:
    row = await store.find(session, parse_id(reservation_id, "reservation_id"))
    if row is None or not caller.principal.may_see(row.tenant_id):
        raise Denied(Code.NOT_FOUND, "no such reservation")
    return row


async def _get_active_tenant(session: AsyncSession, caller: Caller, tenant_id: bytes) -> InviteRow:
    row = await tenants.find(session, tenant_id)
    if row is None or row.status == REVOKED or not caller.principal.may_see(row.tenant_id):
        raise Denied(Code.NOT_FOUND, "no such tenant, or its invite is revoked")
    return row
