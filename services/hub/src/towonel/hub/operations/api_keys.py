"""Creation, edit, rotation and revocation of API keys."""

import secrets
from collections.abc import Mapping

from towonel.api.keys import MAX_EXPIRY_S, KeyEdit, KeyIn
from towonel.hub.context import Hub
from towonel.hub.core.access import KEY_ID_BYTES, KEY_SECRET_BYTES, ApiKey, key_name
from towonel.hub.core.timestamps import check_end, to_optional_ms
from towonel.hub.store import api_keys as store
from towonel.hub.store import tenants
from towonel.hub.store.audit import Actor
from towonel.hub.store.db.transactions import Write
from towonel.hub.store.tables import REVOKED, KeyRow
from towonel.identity.keys import hash_invite_secret
from towonel.wire.errors import Code, Denied


async def create_key(hub: Hub, write: Write, actor: Actor, body: KeyIn) -> tuple[KeyRow, ApiKey]:
    """Add an API key; returns its row, and the key with its secret.

    Raises:
        Denied: NOT_FOUND for a tenant that does not exist or is revoked.
    """
    key = ApiKey(secrets.token_bytes(KEY_ID_BYTES), secrets.token_bytes(KEY_SECRET_BYTES))
    expires_in_ms = (body.expires_in_secs or 0) * 1000
    row = KeyRow(
        key_id=key.key_id,
        name=body.name,
        role=body.role,
        tenant_id=body.tenant_id,
        secret_hash=hash_invite_secret(hub.keys.invite_hash, key.secret),
        created_at_ms=write.now_ms,
        expires_at_ms=write.now_ms + expires_in_ms if expires_in_ms else None,
    )
    if row.tenant_id:
        tenant = await tenants.find(write.session, row.tenant_id)
        if tenant is None or tenant.status == REVOKED:
            raise Denied(Code.NOT_FOUND, "tenant_id: no such tenant, or its invite is revoked")
    await store.add(write, row)
    after = {"name": row.name, "role": row.role, "expires_at_ms": row.expires_at_ms}
    write.audit(actor, "key.created", _subject(row), row.tenant_id, after=after)
    return row, key


def edit_key(write: Write, actor: Actor, row: KeyRow, edit: KeyEdit) -> None:
    """Change the name or the expiry of a key.

    Raises:
        Denied: INVALID_REQUEST for an end that is over, or too far ahead.
    """
    before = _editable_fields(row)
    row.name = edit.name or row.name
    if "expires_at" in edit.model_fields_set:
        end_ms, former_ms = to_optional_ms(edit.expires_at), row.expires_at_ms
        check_end("expires_at", end_ms, write.now_ms, MAX_EXPIRY_S, past=False, former_ms=former_ms)
        row.expires_at_ms = end_ms
    after = _editable_fields(row)
    if after != before:
        write.touch(row)
        write.audit(actor, "key.updated", _subject(row), row.tenant_id, before=before, after=after)


def rotate_key(hub: Hub, write: Write, actor: Actor, row: KeyRow, grace_secs: int) -> ApiKey:
    """Replace the secret of a key; the previous one is valid for a grace period."""
    key = ApiKey(row.key_id, secrets.token_bytes(KEY_SECRET_BYTES))
    row.old_secret_hash = row.secret_hash
    row.old_until_ms = write.now_ms + grace_secs * 1000
    row.secret_hash = hash_invite_secret(hub.keys.invite_hash, key.secret)
    row.rotated_at_ms = write.now_ms
    write.touch(row)
    after = {"old_secret_until_ms": row.old_until_ms}
    write.audit(actor, "key.rotated", _subject(row), row.tenant_id, after=after)
    return key


def revoke_key(write: Write, actor: Actor, row: KeyRow) -> None:
    """Revoke a key."""
    row.revoked_at_ms = write.now_ms
    write.touch(row)
    write.audit(actor, "key.revoked", _subject(row), row.tenant_id, before={"name": row.name})


def _editable_fields(row: KeyRow) -> Mapping[str, object]:
    return {"name": row.name, "expires_at_ms": row.expires_at_ms}


def _subject(row: KeyRow) -> str:
    return key_name(row.key_id)
