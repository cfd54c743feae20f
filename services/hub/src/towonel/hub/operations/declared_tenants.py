"""Tenants that the settings name, made to be in the database as they are named, at boot."""

from collections.abc import Sequence
from hashlib import sha256

from sqlmodel import select

from towonel.hub.core.quotas import Quotas
from towonel.hub.operations import tenant_lifecycle
from towonel.hub.store import invites, routes
from towonel.hub.store.audit import Actor, AuditEvent, record
from towonel.hub.store.db.transactions import Store, Write
from towonel.hub.store.tables import PENDING, InviteRow
from towonel.hub.tenant_settings import DeclaredTenant
from towonel.wire.errors import Code, Denied
from towonel.wire.tokens import INVITE_ID_BYTES

NO_SECRET = b""  # no invite's hash: nobody can prove one that was never made
_BOOT = Actor("settings", "boot", "")


async def declare(
    store: Store, tenants: Sequence[DeclaredTenant], quotas: Quotas, now_ms: int
) -> None:
    """Make what the settings name the tenants without a secret: all of them, and no others.

    One that was removed stays removed, as in the original. Nothing is written where all is so already.

    Raises:
        Denied: HOSTNAME_CONFLICT or QUOTA_EXCEEDED, naming the tenant; INVALID_REQUEST for one that
            has an invite.
    """
    query = select(InviteRow).where(InviteRow.secret_hash == NO_SECRET, InviteRow.status == PENDING)
    async with store.write() as change:
        held = {row.tenant_id: row for row in (await change.session.exec(query)).all()}
        for gone in held.keys() - {one.tenant_id for one in tenants}:
            await tenant_lifecycle.end(change, held[gone], now_ms)
            await _record(change, "ended", gone, now_ms)
        for one in tenants:
            try:
                if await _declare(change, one, held.get(one.tenant_id), quotas, now_ms):
                    await _record(change, "declared", one.tenant_id, now_ms)
            except Denied as error:
                raise Denied(error.code, f"tenant {one.name}: {error.detail}") from error


async def _declare(
    change: Write, one: DeclaredTenant, row: InviteRow | None, quotas: Quotas, now_ms: int
) -> bool:
    """Return whether anything had to be changed."""
    if await invites.is_removed(change.session, one.tenant_id):
        return False
    altered = row is None
    if row is None:
        row = await _new(change, one, now_ms)
    if set(await invites.hostnames_of(change.session, row.invite_id)) != set(one.hostnames):
        await tenant_lifecycle.set_hostnames(change, row, one.hostnames, quotas, now_ms)
        row.version += 1
        altered = True
    return altered


async def _new(change: Write, one: DeclaredTenant, now_ms: int) -> InviteRow:
    before = await invites.invite_of_tenant(change.session, one.tenant_id)
    if before is not None and before.secret_hash != NO_SECRET:
        raise Denied(Code.INVALID_REQUEST, "has an invite already; leave it out of the settings")
    if before is not None:  # it was declared, then not, and is again
        await invites.restore(change, before)
        await routes.unblock_tenant(change, one.tenant_id, now_ms)
        return before
    row = InviteRow(
        invite_id=sha256(b"towonel declared tenant" + one.tenant_id).digest()[:INVITE_ID_BYTES],
        name=one.name,
        secret_hash=NO_SECRET,
        tenant_id=one.tenant_id,
        tenant_public_key=one.public_key,
        created_at_ms=now_ms,
    )
    await invites.add_invite(change, row, ())
    return row


async def _record(change: Write, verb: str, tenant_id: bytes, now_ms: int) -> None:
    deed = AuditEvent(f"tenant.{verb}", f"tenant:{tenant_id.hex()}", tenant_id)
    await record(change, _BOOT, deed, now_ms)
