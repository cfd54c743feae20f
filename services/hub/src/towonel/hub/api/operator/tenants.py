"""Tenants: how they stand, what they use, and how they rest, come back or end."""

from collections.abc import Sequence
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Response
from sqlmodel.ext.asyncio.session import AsyncSession

from towonel.api.agents import AgentItem
from towonel.api.tenants import (
    RemovedOut,
    TenantDetail,
    TenantEdit,
    TenantItem,
    TenantPage,
    TenantStatus,
)
from towonel.hub.api.http.auth import Caller, IfMatch, Operator, TenantViewer, check_version, etag
from towonel.hub.api.http.errors import error_responses
from towonel.hub.api.http.parameters import HexId, Page, Text, parse_hex
from towonel.hub.api.operator.services import agent_items
from towonel.hub.api.presenters import (
    limits_of,
    port_range,
    tenant_status,
    to_datetime,
    to_optional_datetime,
)
from towonel.hub.context import Hub, HubDep
from towonel.hub.operations import tenant_lifecycle
from towonel.hub.operations.edit import edit_tenant
from towonel.hub.store import agents, invites, ports, services
from towonel.hub.store.audit import AuditEvent, record
from towonel.hub.store.db.transactions import Write
from towonel.hub.store.tables import PENDING, REVOKED, InviteRow
from towonel.wire import base64url
from towonel.wire.errors import Code, Denied
from towonel.wire.ids import TenantId

router = APIRouter(prefix="/v1/tenants", tags=["tenants"])
MAX_SHOWN_AGENTS = 100


@router.get("", responses=error_responses(400))
async def list_tenants(
    hub: HubDep,
    caller: TenantViewer,
    paging: Page,
    status: Annotated[TenantStatus | None, Query(description="How they stand.")] = None,
    name: Text = None,
    hostname: Text = None,
) -> TenantPage:
    """List tenants, the newest first, with who is live."""
    wanted = invites.InviteFilter(
        status=None if status is None else REVOKED if status == "revoked" else PENDING,
        suspended=None if status in {None, "revoked"} else status == "suspended",
        name=name,
        hostname=hostname,
        tenant_id=caller.tenant_id,
    )
    async with hub.store.read() as session:
        found = await invites.newest(session, paging, wanted)
        hostnames = await invites.hostnames(session, [row.invite_id for row in found.rows])
    await hub.edge_reports.refresh(hub.now_ms())
    return TenantPage(
        tenants=[_item(hub, row, hostnames.get(row.invite_id, [])) for row in found.rows],
        next_cursor=found.next_cursor,
    )


@router.get("/{tenant_id}", responses=error_responses(400, 404))
async def get_tenant(
    hub: HubDep, caller: TenantViewer, tenant_id: HexId, response: Response
) -> TenantDetail:
    """Show one tenant: what it may have, what it has, and where it is live."""
    await hub.edge_reports.refresh(hub.now_ms())
    async with hub.store.read() as session:
        row = await _get_or_404(session, caller, tenant_id)
        response.headers["etag"] = etag(row.version)
        return await _detail(hub, session, row)


@router.patch("/{tenant_id}", responses=error_responses(400, 404, 412))
async def update_tenant(
    hub: HubDep,
    caller: Operator,
    tenant_id: HexId,
    body: TenantEdit,
    response: Response,
    if_match: IfMatch = None,
) -> TenantDetail:
    """Change the name or limits of a tenant."""
    async with hub.store.write() as change:
        row = await _get_active(change, caller, tenant_id)
        check_version(if_match, row.version)
        await edit_tenant(hub, change, caller.actor, row, body)
        response.headers["etag"] = etag(row.version)
        return await _detail(hub, change.session, row)


@router.post("/{tenant_id}/suspend", responses=error_responses(400, 404))
async def suspend_tenant(hub: HubDep, caller: Operator, tenant_id: HexId) -> TenantItem:
    """Stop serving a tenant: its sessions end, and it keeps its names, ports and token."""
    return await _switched(hub, caller, tenant_id, "suspended")


@router.post("/{tenant_id}/resume", responses=error_responses(400, 404))
async def resume_tenant(hub: HubDep, caller: Operator, tenant_id: HexId) -> TenantItem:
    """Serve a suspended tenant again."""
    return await _switched(hub, caller, tenant_id, "resumed")


@router.delete("/{tenant_id}", responses=error_responses(400))
async def remove_tenant(hub: HubDep, caller: Operator, tenant_id: HexId) -> RemovedOut:
    """End a tenant for ever, and forget its entries; one that this hub never knew is refused, too."""
    removed = TenantId(parse_hex(tenant_id, "tenant_id"))
    async with hub.store.write() as change:
        row = await tenant_lifecycle.remove(change, removed, hub.now_ms())
        before = None if row is None else {"name": row.name}
        deed = AuditEvent("tenant.removed", f"tenant:{removed.hex()}", removed, before)
        await record(change, caller.actor, deed, hub.now_ms())
    return RemovedOut(tenant_id=removed.hex())


async def _switched(
    hub: Hub, caller: Caller, tenant_id: str, verb: Literal["suspended", "resumed"]
) -> TenantItem:
    async with hub.store.write() as change:
        row = await _get_active(change, caller, tenant_id)
        if (row.suspended_at_ms is None) is (verb == "suspended"):
            before = {"status": tenant_status(row)}
            step = tenant_lifecycle.suspend if verb == "suspended" else tenant_lifecycle.resume
            await step(change, row, hub.now_ms())
            subject, after = f"tenant:{row.tenant_id.hex()}", {"status": tenant_status(row)}
            deed = AuditEvent(f"tenant.{verb}", subject, row.tenant_id, before, after)
            await record(change, caller.actor, deed, hub.now_ms())
        hostnames = await invites.hostnames_of(change.session, row.invite_id)
    return _item(hub, row, hostnames)


async def _get_or_404(session: AsyncSession, caller: Caller, tenant_id: str) -> InviteRow:
    wanted = parse_hex(tenant_id, "tenant_id")
    row = await invites.invite_of_tenant(session, wanted)
    if row is None or not caller.principal.may_see(wanted):
        raise Denied(Code.NOT_FOUND, "no such tenant")
    return row


async def _get_active(change: Write, caller: Caller, tenant_id: str) -> InviteRow:
    row = await _get_or_404(change.session, caller, tenant_id)
    if row.status == REVOKED:
        raise Denied(Code.NOT_FOUND, "no such tenant, or its invite is revoked")
    return row


def _item(hub: Hub, row: InviteRow, hostnames: Sequence[str]) -> TenantItem:
    return TenantItem(
        tenant_id=row.tenant_id.hex(),
        invite_id=base64url.encode(row.invite_id),
        name=row.name,
        status=tenant_status(row),
        hostnames=[*hostnames],
        limits=limits_of(row),
        created_at=to_datetime(row.created_at_ms),
        expires_at=to_optional_datetime(row.expires_at_ms),
        suspended_at=to_optional_datetime(row.suspended_at_ms),
        agents_live=len(hub.edge_reports.agents_of(row.tenant_id)),
        traffic=hub.edge_reports.traffic_of(row.tenant_id),
    )


async def _detail(hub: Hub, session: AsyncSession, row: InviteRow) -> TenantDetail:
    item = _item(hub, row, await invites.hostnames_of(session, row.invite_id))
    rows = await agents.of_tenant(session, row.tenant_id, MAX_SHOWN_AGENTS)
    shown: list[AgentItem] = agent_items(hub, rows)
    return TenantDetail(
        **item.model_dump(),
        services=await services.count_services(session, row.tenant_id),
        ports=[port_range(kept) for kept in await ports.of_tenant(session, row.tenant_id)],
        agents=shown,
    )
