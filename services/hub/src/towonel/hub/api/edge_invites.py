"""Edge invites: each lets one edge register, and its token is told once."""

import secrets

from fastapi import APIRouter

from towonel.client.models import (
    EdgeInviteIn,
    EdgeInviteItem,
    EdgeInviteList,
    EdgeInviteOut,
    RevokedOut,
)
from towonel.hub.api.auth import Operator
from towonel.hub.api.invites import new_token, parse_id
from towonel.hub.api.state import HubDep
from towonel.hub.core.naming import random_name
from towonel.hub.store import invites as store
from towonel.hub.store.rows import EdgeInviteRow
from towonel.identity.keys import NodeKey, hash_invite_secret
from towonel.wire import base64url
from towonel.wire.tokens import EdgeToken

router = APIRouter(prefix="/v1/edge-invites", tags=["edge invites"], dependencies=[Operator])


@router.post("")
async def create(hub: HubDep, body: EdgeInviteIn | None = None) -> EdgeInviteOut:
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
    async with hub.store.write() as change:
        await store.add_edge_invite(change, row)
    return EdgeInviteOut(
        token=token.encode(),
        invite_id=base64url.encode(row.invite_id),
        name=row.name,
        edge_node_id=row.edge_id.hex(),
    )


@router.get("")
async def list_all(hub: HubDep) -> EdgeInviteList:
    """List all edge invites, the newest first."""
    async with hub.store.read() as session:
        rows = await store.edge_invites(session)
    return EdgeInviteList(
        invites=[
            EdgeInviteItem(
                invite_id=base64url.encode(row.invite_id),
                name=row.name,
                status="revoked" if row.status == "revoked" else "pending",
                edge_node_id=row.edge_id.hex(),
                created_at_ms=row.created_at_ms,
            )
            for row in rows
        ]
    )


@router.delete("/{invite_id}")
async def revoke(hub: HubDep, invite_id: str) -> RevokedOut:
    """Take an edge out: it gets no routes, and agents are not told of it."""
    async with hub.store.write() as change:
        await store.revoke_edge_invite(change, parse_id(invite_id))
    return RevokedOut()
