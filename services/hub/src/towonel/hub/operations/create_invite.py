"""Creation of a tenant: its invite, its token and its hostnames."""

import secrets
from collections.abc import Sequence

from towonel.api.invites import InviteIn
from towonel.api.limits import Limits
from towonel.hub.context import Hub
from towonel.hub.core.invites import expiry_ms
from towonel.hub.core.quotas import check_quota
from towonel.hub.core.random_names import random_name
from towonel.hub.operations.hostname_ownership import check_free, reconcile_ownership
from towonel.hub.operations.tokens import new_token
from towonel.hub.store import invites, tenants
from towonel.hub.store.audit import Actor
from towonel.hub.store.db.transactions import Write
from towonel.hub.store.tables import InviteRow
from towonel.identity.keys import TenantKey, hash_invite_secret
from towonel.wire import base64url
from towonel.wire.names import Hostname
from towonel.wire.tokens import InviteToken


def new_invite(hub: Hub, body: InviteIn) -> tuple[InviteRow, InviteToken]:
    """Return a new invite and its token; call it before the write, for making the key takes time."""
    token = new_token(hub.url, InviteToken)
    tenant = TenantKey.from_seed(token.seed)
    now_ms = hub.now_ms()
    row = InviteRow(
        invite_id=token.invite_id,
        name=(body.name or "").strip() or random_name(secrets.randbelow),
        secret_hash=hash_invite_secret(hub.keys.invite_hash, token.secret),
        expires_at_ms=expiry_ms(body.expires_in_secs, now_ms),
        serves_until_ms=expiry_ms(body.serves_for_secs, now_ms),
        tenant_id=tenant.tenant_id,
        tenant_public_key=tenant.public,
        created_at_ms=now_ms,
    )
    return row, token


async def create_tenant(
    hub: Hub,
    write: Write,
    actor: Actor,
    row: InviteRow,
    patterns: Sequence[Hostname],
    limits: Limits | None = None,
) -> None:
    """Add a tenant with the hostnames of its invite, and limits of its own.

    Raises:
        Denied: QUOTA_EXCEEDED or HOSTNAME_CONFLICT.
    """
    if limits is not None:
        await tenants.set_limits(write, row, limits)
    check_quota("hostnames", len(patterns), tenants.quotas_of(row, hub.policy.quotas).hostnames)
    await check_free(write, patterns)
    await invites.add_invite(write, row, patterns)
    await reconcile_ownership(write, patterns)
    after = {
        "name": row.name,
        "hostnames": patterns,
        "expires_at_ms": row.expires_at_ms,
        "serves_until_ms": row.serves_until_ms,
        "limits": tenants.limits_of(row).model_dump(exclude_none=True),
    }
    subject = f"invite:{base64url.encode(row.invite_id)}"
    write.audit(actor, "invite.created", subject, row.tenant_id, after=after)
