"""Endpoints of API keys: created with the operator key or by an admin, and hashed at rest."""

from typing import cast

from fastapi import Response
from sqlmodel.ext.asyncio.session import AsyncSession

from towonel.api.invites import RevokedOut
from towonel.api.keys import KeyEdit, KeyIn, KeyItem, KeyOut, KeyPage, KeyRotation, Role, WhoAmI
from towonel.hub.api.http.auth import Admin, IfMatch, TenantViewer, check_version, etag
from towonel.hub.api.http.errors import error_responses
from towonel.hub.api.http.idempotency import Idempotent, idempotent
from towonel.hub.api.http.parameters import KeyId, Page, parse_id
from towonel.hub.api.http.router import create_router
from towonel.hub.context import Hub, HubDep
from towonel.hub.core.access import KEY_ID_BYTES, ApiKey, key_status
from towonel.hub.core.timestamps import to_datetime, to_optional_datetime
from towonel.hub.operations import api_keys as operations
from towonel.hub.store import api_keys as store
from towonel.hub.store.tables import KeyRow
from towonel.wire import base64url
from towonel.wire.errors import Code, Denied

router = create_router("/v1/keys", tags=["keys"])


@router.post("", responses=error_responses(400, 404, 409))
async def create_key(hub: HubDep, caller: Admin, body: KeyIn, request: Idempotent) -> KeyOut:
    """Make an API key; the answer holds its secret, which the hub does not keep."""
    if body.tenant_id is not None and body.role == "admin":
        raise Denied(Code.INVALID_REQUEST, "tenant_id: a key of one tenant is operator or viewer")
    async with hub.store.write() as write, idempotent(write, caller, request, KeyOut) as answer:
        if answer.is_new:
            row, key = await operations.create_key(hub, write, caller.actor, body)
            answer.body = _to_key_out(hub, row, key)
    return answer.body


@router.get("", responses=error_responses(400))
async def list_keys(hub: HubDep, caller: Admin, paging: Page) -> KeyPage:
    """List API keys, the newest first, without their secrets."""
    async with hub.store.read() as session:
        page = await store.list_page(session, paging)
    return KeyPage(keys=[_to_item(hub, row) for row in page.rows], next_cursor=page.next_cursor)


@router.get("/self")
async def whoami(hub: HubDep, caller: TenantViewer) -> WhoAmI:
    """Tell whom the hub takes the caller for, and what it may do."""
    principal = caller.principal
    return WhoAmI(
        actor=principal.name,
        role=cast(Role, principal.role.name.lower()),
        tenant_id=principal.tenant_id,
    )


@router.get("/{key_id}", responses=error_responses(400, 404))
async def get_key(hub: HubDep, caller: Admin, key_id: KeyId, response: Response) -> KeyItem:
    """Show one API key."""
    async with hub.store.read() as session:
        row = await _get_or_404(session, key_id)
    response.headers["etag"] = etag(row.version)
    return _to_item(hub, row)


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
    async with hub.store.write() as write:
        row = await _get_active(write.session, key_id)
        check_version(if_match, row.version)
        operations.edit_key(write, caller.actor, row, body)
    response.headers["etag"] = etag(row.version)
    return _to_item(hub, row)


@router.post("/{key_id}/rotate", responses=error_responses(400, 404, 409))
async def rotate_key(
    hub: HubDep,
    caller: Admin,
    key_id: KeyId,
    request: Idempotent,
    body: KeyRotation | None = None,
) -> KeyOut:
    """Give a key a new secret; the one before works for a while yet, so that nothing stops.

    Repeat it with an Idempotency-Key only: another rotation ends the secret before the last at once.
    """
    grace_secs = (body or KeyRotation()).grace_secs
    async with hub.store.write() as write, idempotent(write, caller, request, KeyOut) as answer:
        if answer.is_new:
            row = await _get_active(write.session, key_id)
            key = operations.rotate_key(hub, write, caller.actor, row, grace_secs)
            answer.body = _to_key_out(hub, row, key)
    return answer.body


@router.delete("/{key_id}", responses=error_responses(400, 404))
async def revoke_key(hub: HubDep, caller: Admin, key_id: KeyId) -> RevokedOut:
    """Revoke a key: it is refused from now on."""
    async with hub.store.write() as write:
        row = await _get_active(write.session, key_id)
        operations.revoke_key(write, caller.actor, row)
    return RevokedOut()


async def _get_or_404(session: AsyncSession, key_id: str) -> KeyRow:
    row = await store.find(session, parse_id(key_id, "key_id", KEY_ID_BYTES))
    if row is None:
        raise Denied(Code.NOT_FOUND, "no such key")
    return row


async def _get_active(session: AsyncSession, key_id: str) -> KeyRow:
    row = await _get_or_404(session, key_id)
    if row.revoked_at_ms is not None:
        raise Denied(Code.NOT_FOUND, "no such key, or it is revoked already")
    return row


def _to_item(hub: Hub, row: KeyRow) -> KeyItem:
    """Return the item of an API key."""
    used_ms = max(hub.key_uses.get(row.key_id, 0), row.last_used_ms or 0)
    return KeyItem(
        key_id=base64url.encode(row.key_id),
        name=row.name,
        role=cast(Role, row.role),
        tenant_id=row.tenant_id,
        status=key_status(
            revoked=row.revoked_at_ms is not None,
            expires_at_ms=row.expires_at_ms,
            now_ms=hub.now_ms(),
        ),
        created_at=to_datetime(row.created_at_ms),
        expires_at=to_optional_datetime(row.expires_at_ms),
        last_used_at=to_optional_datetime(used_ms or None),
        rotated_at=to_optional_datetime(row.rotated_at_ms),
    )


def _to_key_out(hub: Hub, row: KeyRow, key: ApiKey) -> KeyOut:
    return KeyOut(**_to_item(hub, row).model_dump(), key=key.encode())
