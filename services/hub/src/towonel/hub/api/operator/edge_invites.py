"""Edge invites: each lets one edge register, and its token is told once."""

import secrets

from fastapi import APIRouter
from sqlmodel.ext.asyncio.session import AsyncSession

from towonel.api.edge_invites import EdgeInviteIn, EdgeInviteItem, EdgeInviteList, EdgeInviteOut
from towonel.api.invites import RevokedOut
from towonel.hub.api.http.auth import Idempotent, Operator, Viewer
from towonel.hub.api.http.errors import error_responses
from towonel.hub.api.http.parameters import InviteId, LongPage, parse_id
from towonel.hub.api.operator.invites import new_token
from towonel.hub.context import HubDep
from towonel.hub.core.random_names import random_name
from towonel.hub.store import edge_invites as store
from towonel.hub.store.audit import AuditEvent, record
from towonel.hub.store.tables import REVOKED, EdgeInviteRow
from towonel.identity.keys import NodeKey, hash_invite_secret
from towonel.wire import base64url
from towonel.wire.errors import Code, Denied
from towonel.wire.tokens import EdgeToken

router = APIRouter(prefix="/v1/edge-invites", tags=["edge invites"])


@router.post("", responses=error_responses(400, 409))
async def create_edge_invite(
    hub: HubDep, caller: Operator, once: Idempotent, body: EdgeInviteIn | None = None
) -> EdgeInviteOut:
    """Let one more edge register."""
    token = new_token(hub.url, EdgeToken)
    asked = body.name if body else None
    row = EdgeInviteRow(
        invite_id=token.invite_id,
        name=(asked or "").strip() or random_name(secrets.randbelow),
        secret_hash=hash_invite_secret(hub.keys.invite_hash, token.secret),
        edge_id=NodeKey.from_seed(token.seed).public,
        created_at_ms=hub.now_ms(),
    )
    made = EdgeInviteOut(
        token=token.encode(),
        invite_id=base64url.encode(row.invite_id),
        name=row.name,
        edge_node_id=row.edge_id.hex(),
    )
    async with hub.store.write() as change:
        before = await once(caller).replay(change, EdgeInviteOut)
        if before is not None:
            return before
        await store.add(change, row)
        after = {"name": row.name, "edge_node_id": made.edge_node_id}
        deed = AuditEvent("edge_invite.created", f"edge_invite:{made.invite_id}", after=after)
        await record(change, caller.actor, deed, hub.now_ms())
        await once(caller).store(change, made, hub.now_ms())
    return made


@router.get("", responses=error_responses(400))
async def list_edge_invites(hub: HubDep, caller: Viewer, paging: LongPage) -> EdgeInviteList:
    """List edge invites, the newest first; one page has a thousand unless asked for fewer."""
    async with hub.store.read() as session:
        found = await store.newest(session, paging)
    return EdgeInviteList(invites=[_item(row) for row in found.rows], next_cursor=found.next_cursor)


@router.get("/{invite_id}", responses=error_responses(400, 404))
async def get_edge_invite(hub: HubDep, caller: Viewer, invite_id: InviteId) -> EdgeInviteItem:
    """Show one edge invite."""
    async with hub.store.read() as session:
        return _item(await _get_or_404(session, invite_id))


@router.delete("/{invite_id}", responses=error_responses(400, 404))
async def revoke_edge_invite(hub: HubDep, caller: Operator, invite_id: InviteId) -> RevokedOut:
    """Take an edge out: it gets no routes, and agents are not told of it."""
    async with hub.store.write() as change:
        row = await _get_or_404(change.session, invite_id)
        if row.status == REVOKED:
            raise Denied(Code.NOT_FOUND, "no such edge invite, or it is revoked already")
        await store.revoke(change, row)
        deed = AuditEvent(
            "edge_invite.revoked", f"edge_invite:{invite_id}", before={"name": row.name}
        )
        await record(change, caller.actor, deed, hub.now_ms())
    return RevokedOut()


async def _get_or_404(session: AsyncSession, invite_id: str) -> EdgeInviteRow:
    row = await store.find(session, parse_id(invite_id))
    if row is None:
        raise Denied(Code.NOT_FOUND, "no such edge invite, or it is revoked already")
    return row


def _item(row: EdgeInviteRow) -> EdgeInviteItem:
    return EdgeInviteItem(
        invite_id=base64url.encode(row.invite_id),
        name=row.name,
        status="revoked" if row.status == REVOKED else "pending",
        edge_node_id=row.edge_id.hex(),
        created_at_ms=row.created_at_ms,
    )
