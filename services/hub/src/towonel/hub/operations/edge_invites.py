"""Creation and revocation of edge invites."""

import secrets

from towonel.hub.context import Hub
from towonel.hub.core.random_names import random_name
from towonel.hub.operations.tokens import new_token
from towonel.hub.store import edge_invites as store
from towonel.hub.store.audit import Actor
from towonel.hub.store.db.transactions import Write
from towonel.hub.store.tables import EdgeInviteRow
from towonel.identity.keys import NodeKey, hash_invite_secret
from towonel.wire import base64url
from towonel.wire.tokens import EdgeToken


async def create_edge_invite(
    hub: Hub, write: Write, actor: Actor, name: str | None
) -> tuple[EdgeInviteRow, EdgeToken]:
    """Allow one more edge to register; returns its invite and token."""
    token = new_token(hub.url, EdgeToken)
    row = EdgeInviteRow(
        invite_id=token.invite_id,
        name=(name or "").strip() or random_name(secrets.randbelow),
        secret_hash=hash_invite_secret(hub.keys.invite_hash, token.secret),
        edge_id=NodeKey.from_seed(token.seed).public,
        created_at_ms=write.now_ms,
    )
    await store.add(write, row)
    after = {"name": row.name, "edge_node_id": row.edge_id.hex()}
    write.audit(actor, "edge_invite.created", _subject(row), after=after)
    return row, token


async def revoke_edge_invite(write: Write, actor: Actor, row: EdgeInviteRow) -> None:
    """Revoke an edge: it gets no routes, and agents no longer connect to it."""
    await store.revoke(write, row)
    write.audit(actor, "edge_invite.revoked", _subject(row), before={"name": row.name})


def _subject(row: EdgeInviteRow) -> str:
    return f"edge_invite:{base64url.encode(row.invite_id)}"
