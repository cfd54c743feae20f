"""API keys: made from the operator key or by an admin, shown once, hashed at rest."""

import secrets
from collections.abc import Mapping
from typing import Literal

from fastapi import APIRouter, Response
from sqlmodel.ext.asyncio.session import AsyncSession

from towonel.api.invites import RevokedOut
from towonel.api.keys import KeyEdit, KeyIn, KeyItem, KeyOut, KeyPage, KeyRotation, Role, WhoAmI
from towonel.hub.api.http.auth import Admin, Idempotent, IfMatch, TenantViewer, check_version, etag
from towonel.hub.api.http.errors import error_responses
from towonel.hub.api.http.parameters import KeyId, Page
from towonel.hub.api.presenters import to_datetime, to_optional_datetime, to_optional_ms
from towonel.hub.context import Hub, HubDep
from towonel.hub.core.access import KEY_ID_BYTES, KEY_SECRET_BYTES, Presented
from towonel.hub.store import api_keys as store
from towonel.hub.store import invites
from towonel.hub.store.audit import AuditEvent, record
from towonel.hub.store.tables import REVOKED, KeyRow
from towonel.identity.keys import hash_invite_secret
from towonel.wire import base64url
from towonel.wire.errors import Code, Denied, ProtocolError

router = APIRouter(prefix="/v1/keys", tags=["keys"])
_ROLES: dict[str, Role] = {"admin": "admin", "operator": "operator", "viewer": "viewer"}


@router.post("", responses=error_responses(400, 404, 409))
async def create_key(hub: HubDep, caller: Admin, body: KeyIn, once: Idempotent) -> KeyOut:
    """Make an API key; the answer holds its secret, which the hub does not keep."""
    key = Presented(secrets.token_bytes(KEY_ID_BYTES), secrets.token_bytes(KEY_SECRET_BYTES))
    if body.tenant_id is not None and body.role == "admin":
        raise Denied(Code.INVALID_REQUEST, "tenant_id: a key of one tenant is operator or viewer")
    now_ms = hub.now_ms()
    row = KeyRow(
        key_id=key.key_id,
        name=body.name,
        role=body.role,
        tenant_id=None if body.tenant_id is None else bytes.fromhex(body.tenant_id),
        secret_hash=hash_invite_secret(hub.keys.invite_hash, key.secret),
        created_at_ms=now_ms,
        expires_at_ms=now_ms + body.expires_in_secs * 1000 if body.expires_in_secs else None,
    )
    made = KeyOut(**_item(hub, row).model_dump(), key=key.encode())
    async with hub.store.write() as change:
        before = await once(caller).replay(change, KeyOut)
        if before is not None:
            return before
        if row.tenant_id:
            tenant = await invites.invite_of_tenant(change.session, row.tenant_id)
            if tenant is None or tenant.status == REVOKED:
                raise Denied(Code.NOT_FOUND, "tenant_id: no such tenant, or its invite is revoked")
        await store.add(change, row)
        after = {"name": row.name, "role": row.role, "expires_at_ms": row.expires_at_ms}
        await record(change, caller.actor, _deed("created", row, after=after), now_ms)
        await once(caller).store(change, made, now_ms)
    return made


@router.get("", responses=error_responses(400))
async def list_keys(hub: HubDep, caller: Admin, paging: Page) -> KeyPage:
    """List API keys, the newest first, without their secrets."""
    async with hub.store.read() as session:
        found = await store.newest(session, paging)
    return KeyPage(keys=[_item(hub, row) for row in found.rows], next_cursor=found.next_cursor)


@router.get("/self")
async def whoami(hub: HubDep, caller: TenantViewer) -> WhoAmI:
    """Tell whom the hub takes the caller for, and what it may do."""
    principal = caller.principal
    return WhoAmI(
        actor=principal.name,
        role=_ROLES[principal.role.name.lower()],
        tenant_id=principal.tenant_id.hex() if principal.tenant_id else None,
    )


@router.get("/{key_id}", responses=error_responses(400, 404))
async def get_key(hub: HubDep, caller: Admin, key_id: KeyId, response: Response) -> KeyItem:
    """Show one API key."""
    async with hub.store.read() as session:
        row = await _get_or_404(session, key_id)
    response.headers["etag"] = etag(row.version)
    return _item(hub, row)


@router.patch("/{key_id}", responses=error_responses(400, 404, 412))
async def update_key(
    hub: HubDep,
    caller: Admin,
    key_id: KeyId,
    body: KeyEdit,
    response: Response,
    if_match: IfMatch = None,
) -> KeyItem:
    """Change the name or the end of a key."""
    async with hub.store.write() as change:
        row = await _get_active(change.session, key_id)
        check_version(if_match, row.version)
        before = {"name": row.name, "expires_at_ms": row.expires_at_ms}
        row.name = body.name or row.name
        if "expires_at" in body.model_fields_set:
            row.expires_at_ms = to_optional_ms(body.expires_at)
        after = {"name": row.name, "expires_at_ms": row.expires_at_ms}
        if after != before:
            row.version += 1
            change.session.add(row)
            await record(change, caller.actor, _deed("updated", row, before, after), hub.now_ms())
    response.headers["etag"] = etag(row.version)
    return _item(hub, row)


@router.post("/{key_id}/rotate", responses=error_responses(400, 404, 409))
async def rotate_key(
    hub: HubDep,
    caller: Admin,
    key_id: KeyId,
    once: Idempotent,
    body: KeyRotation | None = None,
) -> KeyOut:
    """Give a key a new secret; the one before works for a while yet, so that nothing stops.

    Repeat it with an Idempotency-Key only: another rotation ends the secret before the last at once.
    """
    grace_ms = (body or KeyRotation()).grace_secs * 1000
    secret = secrets.token_bytes(KEY_SECRET_BYTES)
    async with hub.store.write() as change:
        before = await once(caller).replay(change, KeyOut)
        if before is not None:
            return before
        row = await _get_active(change.session, key_id)
        row.old_secret_hash, row.old_until_ms = row.secret_hash, hub.now_ms() + grace_ms
        row.secret_hash = hash_invite_secret(hub.keys.invite_hash, secret)
        row.rotated_at_ms = hub.now_ms()
        row.version += 1
        change.session.add(row)
        after = {"old_secret_until_ms": row.old_until_ms}
        await record(change, caller.actor, _deed("rotated", row, after=after), hub.now_ms())
        key = Presented(row.key_id, secret).encode()
        made = KeyOut(**_item(hub, row).model_dump(), key=key)
        await once(caller).store(change, made, hub.now_ms())
    return made


@router.delete("/{key_id}", responses=error_responses(400, 404))
async def revoke_key(hub: HubDep, caller: Admin, key_id: KeyId) -> RevokedOut:
    """Revoke a key: it opens nothing from now on."""
    async with hub.store.write() as change:
        row = await _get_active(change.session, key_id)
        row.revoked_at_ms = hub.now_ms()
        row.version += 1
        change.session.add(row)
        deed = _deed("revoked", row, before={"name": row.name})
        await record(change, caller.actor, deed, hub.now_ms())
    return RevokedOut()


async def _get_or_404(session: AsyncSession, key_id: str) -> KeyRow:
    try:
        wanted = base64url.decode(key_id)
    except ProtocolError:
        wanted = b""
    if len(wanted) != KEY_ID_BYTES:
        raise Denied(Code.INVALID_REQUEST, "a key's id is 8 bytes in base64url, 11 characters")
    row = await store.find(session, wanted)
    if row is None:
        raise Denied(Code.NOT_FOUND, "no such key")
    return row


async def _get_active(session: AsyncSession, key_id: str) -> KeyRow:
    row = await _get_or_404(session, key_id)
    if row.revoked_at_ms is not None:
        raise Denied(Code.NOT_FOUND, "no such key, or it is revoked already")
    return row


def _item(hub: Hub, row: KeyRow) -> KeyItem:
    status: Literal["active", "expired", "revoked"] = "active"
    if row.revoked_at_ms is not None:
        status = "revoked"
    elif row.expires_at_ms is not None and hub.now_ms() >= row.expires_at_ms:
        status = "expired"
    used_ms = max(hub.key_uses.get(row.key_id, 0), row.last_used_ms or 0)
    return KeyItem(
        key_id=base64url.encode(row.key_id),
        name=row.name,
        role=_ROLES[row.role],
        tenant_id=row.tenant_id.hex() if row.tenant_id else None,
        status=status,
        created_at=to_datetime(row.created_at_ms),
        expires_at=to_optional_datetime(row.expires_at_ms),
        last_used_at=to_optional_datetime(used_ms or None),
        rotated_at=to_optional_datetime(row.rotated_at_ms),
    )


def _deed(
    verb: str,
    row: KeyRow,
    before: Mapping[str, object] | None = None,
    after: Mapping[str, object] | None = None,
) -> AuditEvent:
    return AuditEvent(
        f"key.{verb}", f"key:{base64url.encode(row.key_id)}", row.tenant_id, before, after
    )
