"""Ports that are kept for tenants."""

from typing import Annotated

from fastapi import APIRouter, Query
from sqlmodel.ext.asyncio.session import AsyncSession

from towonel.api.ports import (
    AvailablePorts,
    Protocol,
    ReleasedOut,
    Reservation,
    ReservationIn,
    ReservationPage,
)
from towonel.hub.api.http.auth import Caller, Idempotent, TenantOperator, TenantViewer, Viewer
from towonel.hub.api.http.errors import error_responses
from towonel.hub.api.http.parameters import InviteId, OfTenant, Page, parse_id
from towonel.hub.api.presenters import reservation
from towonel.hub.context import Hub, HubDep
from towonel.hub.core.ports import LAST_PORT, Range, free_ports
from towonel.hub.operations.edit import reserve
from towonel.hub.store import invites
from towonel.hub.store import ports as store
from towonel.hub.store.audit import AuditEvent, record
from towonel.hub.store.db.transactions import Write
from towonel.hub.store.tables import REVOKED, InviteRow, ReservationRow
from towonel.wire.errors import Code, Denied
from towonel.wire.ids import TenantId

router = APIRouter(prefix="/v1/ports", tags=["ports"])
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
        found = await store.reservations(session, paging, tenant, protocol)
    return ReservationPage(
        ports=[reservation(row) for row in found.rows], next_cursor=found.next_cursor
    )


@router.get("/available", responses=error_responses(400))
async def available_ports(
    hub: HubDep,
    caller: Viewer,
    protocol: Protocol,
    count: Annotated[int, Query(ge=1, le=MAX_AVAILABLE)] = 1,
) -> AvailablePorts:
    """Tell the lowest ports that nobody has or keeps."""
    async with hub.store.read() as session:
        ports = await _free(hub, session, protocol, count)
    return AvailablePorts(protocol=protocol, ports=ports)


@router.post("", responses=error_responses(400, 404, 409))
async def reserve_ports(
    hub: HubDep, caller: TenantOperator, body: ReservationIn, once: Idempotent
) -> Reservation:
    """Keep a port or a range of ports for a tenant; without a number, the lowest free one."""
    tenant_id = TenantId(bytes.fromhex(body.tenant_id))
    async with hub.store.write() as change:
        before = await once(caller).replay(change, Reservation)
        if before is not None:
            return before
        tenant = await invites.invite_of_tenant(change.session, tenant_id)
        is_live = tenant is not None and tenant.status != REVOKED
        if tenant is None or not is_live or not caller.principal.may_see(tenant_id):
            raise Denied(Code.NOT_FOUND, "no such tenant, or its invite is revoked")
        first = body.first_port or await _one_free(hub, change.session, body.protocol)
        wanted = Range(body.protocol, first, body.last_port or first, tenant_id)
        made = reservation(await reserve(hub, change, tenant, wanted))
        _touch(change, tenant)
        after = {"ports": str(wanted)}
        deed = AuditEvent("ports.reserved", f"ports:{made.reservation_id}", tenant_id, after=after)
        await record(change, caller.actor, deed, hub.now_ms())
        await once(caller).store(change, made, hub.now_ms())
    return made


@router.get("/{reservation_id}", responses=error_responses(400, 404))
async def get_port_reservation(
    hub: HubDep, caller: TenantViewer, reservation_id: InviteId
) -> Reservation:
    """Show what is kept under one id."""
    async with hub.store.read() as session:
        return reservation(await _get_or_404(session, caller, reservation_id))


@router.delete("/{reservation_id}", responses=error_responses(400, 404))
async def release_ports(
    hub: HubDep, caller: TenantOperator, reservation_id: InviteId
) -> ReleasedOut:
    """Keep ports no more; what is published on them stays until its tenant ends it."""
    async with hub.store.write() as change:
        row = await _get_or_404(change.session, caller, reservation_id)
        tenant = await invites.invite_of_tenant(change.session, row.tenant_id)
        if tenant is not None:
            _touch(change, tenant)
        before = {"ports": str(store.range_of(row))}
        await store.release(change, row)
        deed = AuditEvent("ports.released", f"ports:{reservation_id}", row.tenant_id, before)
        await record(change, caller.actor, deed, hub.now_ms())
    return ReleasedOut(reservation_id=reservation_id)


def _touch(change: Write, tenant: InviteRow) -> None:
    """Give a tenant another ETag: its ports are a part of it."""
    tenant.version += 1
    change.session.add(tenant)


async def _get_or_404(session: AsyncSession, caller: Caller, reservation_id: str) -> ReservationRow:
    row = await store.find(session, parse_id(reservation_id))
    if row is None or not caller.principal.may_see(row.tenant_id):
        raise Denied(Code.NOT_FOUND, "no such reservation")
    return row


async def _free(hub: Hub, session: AsyncSession, protocol: str, count: int) -> list[int]:
    held = await store.reserved(session, protocol, 1, LAST_PORT)
    held += await store.published(session, protocol, 1, LAST_PORT)
    return list(free_ports(protocol, hub.policy.ports, held, count))


async def _one_free(hub: Hub, session: AsyncSession, protocol: str) -> int:
    found = await _free(hub, session, protocol, 1)
    if not found:
        raise Denied(Code.PORT_CONFLICT, f"there is no free {protocol} port left")
    return found[0]
