"""Endpoints of tenants: their status and use, and suspend, resume and remove."""

from typing import Annotated

from fastapi import Query, Response
from sqlmodel.ext.asyncio.session import AsyncSession

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
from towonel.hub.api.http.router import create_router
from towonel.hub.api.presenters.routing import to_agent_items
from towonel.hub.api.presenters.tenants import to_port_range, to_tenant_item
from towonel.hub.context import Hub, HubDep
from towonel.hub.operations import tenant_lifecycle
from towonel.hub.operations.edit_invite import edit_tenant
from towonel.hub.store import agents, invites, ports, publications, services, tenants
from towonel.hub.store.tables import PENDING, REVOKED, InviteRow
from towonel.wire.errors import Code, Denied
from towonel.wire.ids import TenantId

router = create_router("/v1/tenants", tags=["tenants"])
MAX_LISTED_AGENTS = 100


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
    matching = invites.InviteFilter(
        status=None if status is None else REVOKED if status == "revoked" else PENDING,
        suspended=None if status in {None, "revoked"} else status == "suspended",
        name=name,
        hostname=hostname,
        tenant_id=caller.tenant_id,
    )
    async with hub.store.read() as session:
        page = await invites.list_page(session, paging, matching)
        hostnames = await invites.find_hostnames(session, [row.invite_id for row in page.rows])
    await hub.edge_reports.refresh(hub.now_ms())
    items = [to_tenant_item(hub, row, hostnames.get(row.invite_id, [])) for row in page.rows]
    return TenantPage(tenants=items, next_cursor=page.next_cursor)


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
    async with hub.store.write() as write:
        row = await _get_active(write.session, caller, tenant_id)
        check_version(if_match, row.version)
        await edit_tenant(write, caller.actor, row, body)
        response.headers["etag"] = etag(row.version)
        return await _detail(hub, write.session, row)


@router.post("/{tenant_id}/suspend", responses=error_responses(400, 404))
async def suspend_tenant(hub: HubDep, caller: Operator, tenant_id: HexId) -> TenantItem:
    """Stop serving a tenant: its sessions end, and it keeps its names, ports and token."""
    async with hub.store.write() as write:
        row = await _get_active(write.session, caller, tenant_id)
        await tenant_lifecycle.suspend(write, caller.actor, row)
        return await _item(hub, write.session, row)


@router.post("/{tenant_id}/resume", responses=error_responses(400, 404))
async def resume_tenant(hub: HubDep, caller: Operator, tenant_id: HexId) -> TenantItem:
    """Serve a suspended tenant again; not one whose time is over: edit `serves_until` of its invite."""
    async with hub.store.write() as write:
        row = await _get_active(write.session, caller, tenant_id)
        await tenant_lifecycle.resume(write, caller.actor, row)
        return await _item(hub, write.session, row)


@router.delete("/{tenant_id}", responses=error_responses(400))
async def remove_tenant(hub: HubDep, caller: Operator, tenant_id: HexId) -> RemovedOut:
    """End a tenant for ever, and forget its entries; one that this hub never knew is refused, too."""
    removed = TenantId(parse_hex(tenant_id, "tenant_id"))
    async with hub.store.write() as write:
        await tenant_lifecycle.remove(write, caller.actor, removed)
    return RemovedOut(tenant_id=removed)


async def _get_or_404(session: AsyncSession, caller: Caller, tenant_id: str) -> InviteRow:
    parsed = parse_hex(tenant_id, "tenant_id")
    row = await tenants.find(session, parsed)
    if row is None or not caller.principal.may_see(parsed):
        raise Denied(Code.NOT_FOUND, "no such tenant")
    return row


async def _get_active(session: AsyncSession, caller: Caller, tenant_id: str) -> InviteRow:
    row = await _get_or_404(session, caller, tenant_id)
    if row.status == REVOKED:
        raise Denied(Code.NOT_FOUND, "no such tenant, or its invite is revoked")
    return row


async def _item(hub: Hub, session: AsyncSession, row: InviteRow) -> TenantItem:
    return to_tenant_item(hub, row, await invites.get_hostnames(session, row.invite_id))


async def _detail(hub: Hub, session: AsyncSession, row: InviteRow) -> TenantDetail:
    item = await _item(hub, session, row)
    rows = await agents.list_of_tenant(session, row.tenant_id, MAX_LISTED_AGENTS)
    displaced = await publications.find_displaced(session, rows)
    return TenantDetail(
        **item.model_dump(),
        services=await services.count_services(session, row.tenant_id),
        ports=[to_port_range(held) for held in await ports.list_of_tenant(session, row.tenant_id)],
        agents=to_agent_items(hub, rows, displaced),
    )
