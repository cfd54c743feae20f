"""Endpoints of invites: each is one tenant."""

from typing import Annotated

from fastapi import Query, Response
from sqlmodel.ext.asyncio.session import AsyncSession

from towonel.api.invites import (
    HostnamesIn,
    HostnamesOut,
    InviteDetail,
    InviteEdit,
    InviteIn,
    InviteList,
    InviteOut,
    InviteState,
    InviteStatus,
    RevokedOut,
)
from towonel.hub.api.http.auth import IfMatch, Operator, Viewer, check_version, etag
from towonel.hub.api.http.errors import error_responses
from towonel.hub.api.http.idempotency import Idempotent, idempotent
from towonel.hub.api.http.parameters import InviteId, LongPage, Pattern, Text, parse_id
from towonel.hub.api.http.router import create_router
from towonel.hub.api.presenters.tenants import to_invite_detail, to_invite_items
from towonel.hub.context import Hub, HubDep
from towonel.hub.core.invites import parse_patterns
from towonel.hub.operations import tenant_lifecycle
from towonel.hub.operations.create_invite import create_tenant, new_invite
from towonel.hub.operations.edit_invite import add_hostnames, edit_invite, remove_hostname
from towonel.hub.store import invites as store
from towonel.hub.store import ports
from towonel.hub.store.tables import REVOKED, InviteRow
from towonel.wire import base64url
from towonel.wire.errors import Code, Denied
from towonel.wire.tokens import InviteToken

router = create_router("/v1/invites", tags=["invites"])


@router.post("", responses=error_responses(400, 409))
async def create_invite(
    hub: HubDep, caller: Operator, body: InviteIn, request: Idempotent
) -> InviteOut:
    """Make a tenant that may publish these hostnames."""
    patterns = parse_patterns(body.hostnames)
    row, token = new_invite(hub, body)
    async with hub.store.write() as write, idempotent(write, caller, request, InviteOut) as answer:
        if answer.is_new:
            await create_tenant(hub, write, caller.actor, row, patterns, body.limits)
            answer.body = _to_invite_out(row, token)
    return answer.body


@router.get("", responses=error_responses(400))
async def list_invites(
    hub: HubDep,
    caller: Viewer,
    paging: LongPage,
    status: Annotated[InviteStatus | None, Query(description="In the original's words.")] = None,
    state: Annotated[InviteState | None, Query(description="How they stand.")] = None,
    name: Text = None,
    hostname: Text = None,
) -> InviteList:
    """List invites, the newest first; one page has a thousand unless asked for fewer."""
    matching = store.InviteFilter(
        status=status, state=state, now_ms=hub.now_ms(), name=name, hostname=hostname
    )
    async with hub.store.read() as session:
        page = await store.list_page(session, paging, matching)
        hostnames = await store.find_hostnames(session, [row.invite_id for row in page.rows])
    return InviteList(
        invites=to_invite_items(page.rows, hostnames, hub.now_ms()), next_cursor=page.next_cursor
    )


@router.get("/{invite_id}", responses=error_responses(400, 404))
async def get_invite(
    hub: HubDep, caller: Viewer, invite_id: InviteId, response: Response
) -> InviteDetail:
    """Show one invite, whole."""
    async with hub.store.read() as session:
        row = await _get_or_404(session, invite_id)
        response.headers["etag"] = etag(row.version)
        return await _detail(hub, session, row)


@router.patch("/{invite_id}", responses=error_responses(400, 404, 409, 412))
async def update_invite(
    hub: HubDep,
    caller: Operator,
    invite_id: InviteId,
    body: InviteEdit,
    response: Response,
    if_match: IfMatch = None,
) -> InviteDetail:
    """Change the name, hostnames, ports, limits, expiry or end of serving of a live invite; its token stays good."""
    async with hub.store.write() as write:
        row = await _get_active(write.session, invite_id)
        check_version(if_match, row.version)
        await edit_invite(hub, write, caller.actor, row, body)
        response.headers["etag"] = etag(row.version)
        return await _detail(hub, write.session, row)


@router.post("/{invite_id}/hostnames", responses=error_responses(400, 404, 409))
async def add_invite_hostnames(
    hub: HubDep, caller: Operator, invite_id: InviteId, body: HostnamesIn
) -> HostnamesOut:
    """Add hostnames to a live invite; those it has already stay."""
    added = parse_patterns(body.hostnames)
    async with hub.store.write() as write:
        row = await _get_active(write.session, invite_id)
        patterns = await add_hostnames(hub, write, caller.actor, row, added)
    return HostnamesOut(invite_id=base64url.encode(row.invite_id), remaining_hostnames=[*patterns])


@router.delete("/{invite_id}/hostnames/{hostname}", responses=error_responses(400, 404, 409))
async def remove_invite_hostname(
    hub: HubDep, caller: Operator, invite_id: InviteId, hostname: Pattern
) -> HostnamesOut:
    """Take a hostname from a live invite; what was published under it ends at once."""
    (removed,) = parse_patterns([hostname])
    async with hub.store.write() as write:
        row = await _get_active(write.session, invite_id)
        patterns = await remove_hostname(hub, write, caller.actor, row, removed)
    return HostnamesOut(invite_id=base64url.encode(row.invite_id), remaining_hostnames=[*patterns])


@router.delete("/{invite_id}", responses=error_responses(400, 404))
async def revoke_invite(hub: HubDep, caller: Operator, invite_id: InviteId) -> RevokedOut:
    """End a tenant: its routes go and its sessions are closed, on every edge."""
    async with hub.store.write() as write:
        row = await _get_active(write.session, invite_id)
        await tenant_lifecycle.revoke(write, caller.actor, row)
    return RevokedOut()


async def _get_or_404(session: AsyncSession, invite_id: str) -> InviteRow:
    row = await store.find(session, parse_id(invite_id, "invite_id"))
    if row is None:
        raise Denied(Code.NOT_FOUND, "no such invite")
    return row


async def _get_active(session: AsyncSession, invite_id: str) -> InviteRow:
    row = await _get_or_404(session, invite_id)
    if row.status == REVOKED:
        raise Denied(Code.NOT_FOUND, "no such invite, or it is revoked already")
    return row


async def _detail(hub: Hub, session: AsyncSession, row: InviteRow) -> InviteDetail:
    hostnames = await store.get_hostnames(session, row.invite_id)
    reservations = await ports.list_of_tenant(session, row.tenant_id)
    return to_invite_detail(row, hostnames, reservations, hub.now_ms())


def _to_invite_out(row: InviteRow, token: InviteToken) -> InviteOut:
    return InviteOut(
        token=token.encode(),
        invite_id=base64url.encode(row.invite_id),
        tenant_id=row.tenant_id,
        name=row.name,
        expires_at_ms=row.expires_at_ms,
    )
