"""Invites: each makes a tenant, and its token is told once."""

import secrets

from fastapi import APIRouter

from towonel.client.models import InviteIn, InviteItem, InviteList, InviteOut, RevokedOut
from towonel.hub.api.auth import Operator
from towonel.hub.api.state import HubDep
from towonel.hub.core.invites import expiry_ms, parse_patterns
from towonel.hub.core.naming import random_name
from towonel.hub.core.ownership import taken
from towonel.hub.store import invites as store
from towonel.hub.store.rows import InviteRow
from towonel.identity.keys import TenantKey, hash_invite_secret
from towonel.wire import base64url
from towonel.wire.errors import Code, Denied, ProtocolError
from towonel.wire.tokens import INVITE_ID_BYTES, SECRET_BYTES, SEED_BYTES, EdgeToken, InviteToken

router = APIRouter(prefix="/v1/invites", tags=["invites"], dependencies=[Operator])


@router.post("")
async def create(hub: HubDep, body: InviteIn) -> InviteOut:
    """Make a tenant that may publish these hostnames."""
    patterns = parse_patterns(body.hostnames)
    token = new_token(hub.url, InviteToken)
    tenant = TenantKey.from_seed(token.seed)
    row = InviteRow(
        invite_id=token.invite_id,
        name=(body.name or "").strip() or random_name(secrets.randbelow),
        secret_hash=hash_invite_secret(hub.keys.invite_hash, token.secret),
        expires_at_ms=expiry_ms(body.expires_in_secs, hub.now_ms()),
        tenant_id=tenant.tenant_id,
        tenant_public_key=tenant.public,
        created_at_ms=hub.now_ms(),
    )
    async with hub.store.write() as change:
        held = taken(patterns, await store.pattern_owners(change.session, patterns))
        if held:
            raise Denied(Code.HOSTNAME_CONFLICT, f"another invite has already: {', '.join(held)}")
        await store.add_invite(change, row, patterns)
    return InviteOut(
        token=token.encode(),
        invite_id=base64url.encode(row.invite_id),
        tenant_id=tenant.tenant_id.hex(),
        name=row.name,
        expires_at_ms=row.expires_at_ms,
    )


@router.get("")
async def list_all(hub: HubDep) -> InviteList:
    """List all invites, the newest first."""
    async with hub.store.read() as session:
        rows = await store.invites(session)
        hostnames = await store.hostnames(session)
    return InviteList(
        invites=[
            InviteItem(
                invite_id=base64url.encode(row.invite_id),
                name=row.name,
                hostnames=hostnames.get(row.invite_id, []),
                status="revoked" if row.status == "revoked" else "pending",
                expires_at_ms=row.expires_at_ms,
                tenant_id=row.tenant_id.hex(),
                created_at_ms=row.created_at_ms,
            )
            for row in rows
        ]
    )


@router.delete("/{invite_id}")
async def revoke(hub: HubDep, invite_id: str) -> RevokedOut:
    """End a tenant: its routes go and its sessions are closed, on every edge."""
    async with hub.store.write() as change:
        await store.revoke_invite(change, parse_id(invite_id), hub.now_ms())
    return RevokedOut()


def new_token[T: (InviteToken, EdgeToken)](url: str, kind: type[T]) -> T:
    """Return a token with fresh random parts."""
    return kind(
        url,
        secrets.token_bytes(INVITE_ID_BYTES),
        secrets.token_bytes(SECRET_BYTES),
        secrets.token_bytes(SEED_BYTES),
    )


def parse_id(text: str) -> bytes:
    """Return the 16 bytes of an invite's id.

    Raises:
        Denied: INVALID_REQUEST.
    """
    try:
        invite_id = base64url.decode(text)
    except ProtocolError:
        invite_id = b""
    if len(invite_id) != INVITE_ID_BYTES:
        raise Denied(Code.INVALID_REQUEST, "an invite id is 16 bytes in base64url, 22 characters")
    return invite_id
