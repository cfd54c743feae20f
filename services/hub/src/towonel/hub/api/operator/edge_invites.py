"""Endpoints of edge invites: each allows one edge to register."""

from sqlmodel.ext.asyncio.session import AsyncSession

from towonel.api.edge_invites import EdgeInviteIn, EdgeInviteItem, EdgeInviteList, EdgeInviteOut
from towonel.api.invites import RevokedOut
from towonel.hub.api.http.auth import Operator, Viewer
from towonel.hub.api.http.errors import error_responses
from towonel.hub.api.http.idempotency import Idempotent, idempotent
from towonel.hub.api.http.parameters import InviteId, LongPage, parse_id
from towonel.hub.api.http.router import create_router
from towonel.hub.api.presenters.tenants import to_edge_invite_item
from towonel.hub.context import HubDep
from towonel.hub.operations import edge_invites as operations
from towonel.hub.store import edge_invites as store
from towonel.hub.store.tables import REVOKED, EdgeInviteRow
from towonel.wire import base64url
from towonel.wire.errors import Code, Denied
from towonel.wire.tokens import EdgeToken

router = create_router("/v1/edge-invites", tags=["edge invites"])


@router.post("", responses=error_responses(400, 409))
async def create_edge_invite(
    hub: HubDep, caller: Operator, request: Idempotent, body: EdgeInviteIn | None = None
) -> EdgeInviteOut:
    """Let one more edge register."""
    name = body.name if body else None
    async with (
        hub.store.write() as write,
        idempotent(write, caller, request, EdgeInviteOut) as answer,
    ):
        if answer.is_new:
            row, token = await operations.create_edge_invite(hub, write, caller.actor, name)
            answer.body = _to_edge_invite_out(row, token)
    return answer.body


@router.get("", responses=error_responses(400))
async def list_edge_invites(hub: HubDep, caller: Viewer, paging: LongPage) -> EdgeInviteList:
    """List edge invites, the newest first; one page has a thousand unless asked for fewer."""
    async with hub.store.read() as session:
        page = await store.list_page(session, paging)
    items = [to_edge_invite_item(row) for row in page.rows]
    return EdgeInviteList(invites=items, next_cursor=page.next_cursor)


@router.get("/{invite_id}", responses=error_responses(400, 404))
async def get_edge_invite(hub: HubDep, caller: Viewer, invite_id: InviteId) -> EdgeInviteItem:
    """Show one edge invite."""
    async with hub.store.read() as session:
        return to_edge_invite_item(await _get_or_404(session, invite_id))


@router.delete("/{invite_id}", responses=error_responses(400, 404))
async def revoke_edge_invite(hub: HubDep, caller: Operator, invite_id: InviteId) -> RevokedOut:
    """Take an edge out: it gets no routes, and agents are not told of it."""
    async with hub.store.write() as write:
        row = await _get_active(write.session, invite_id)
        await operations.revoke_edge_invite(write, caller.actor, row)
    return RevokedOut()


async def _get_or_404(session: AsyncSession, invite_id: str) -> EdgeInviteRow:
    row = await store.find(session, parse_id(invite_id, "invite_id"))
    if row is None:
        raise Denied(Code.NOT_FOUND, "no such edge invite, or it is revoked already")
    return row


async def _get_active(session: AsyncSession, invite_id: str) -> EdgeInviteRow:
    row = await _get_or_404(session, invite_id)
    if row.status == REVOKED:
        raise Denied(Code.NOT_FOUND, "no such edge invite, or it is revoked already")
    return row


def _to_edge_invite_out(row: EdgeInviteRow, token: EdgeToken) -> EdgeInviteOut:
    return EdgeInviteOut(
        token=token.encode(),
        invite_id=base64url.encode(row.invite_id),
        name=row.name,
        edge_node_id=row.edge_id,
    )
