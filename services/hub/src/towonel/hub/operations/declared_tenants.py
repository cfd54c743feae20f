"""Reconciliation of declared tenants: at boot, the database is made to match TOWONEL_TENANTS."""

from collections.abc import Sequence
from hashlib import sha256

from sqlmodel import select

from towonel.hub.core.quotas import Quotas
from towonel.hub.operations import tenant_lifecycle
from towonel.hub.store import invites, routes, tenants
from towonel.hub.store.audit import Actor
from towonel.hub.store.db.transactions import Store, Write
from towonel.hub.store.invites import NO_SECRET
from towonel.hub.store.tables import PENDING, InviteRow
from towonel.hub.tenant_settings import DeclaredTenant
from towonel.wire.errors import Code, Denied
from towonel.wire.tokens import INVITE_ID_BYTES

_BOOT = Actor("settings", "boot", "")


async def declare(store: Store, tenants: Sequence[DeclaredTenant], quotas: Quotas) -> None:
    """Add the declared tenants, and end those that are declared no longer.

    A tenant that was removed stays removed, as in the original. Nothing is written if nothing changed.

    Raises:
        Denied: HOSTNAME_CONFLICT or QUOTA_EXCEEDED, naming the tenant; INVALID_REQUEST for one that
            has an invite.
    """
    query = select(InviteRow).where(InviteRow.secret_hash == NO_SECRET, InviteRow.status == PENDING)
    async with store.write() as write:
        current = {row.tenant_id: row for row in (await write.session.exec(query)).all()}
        for ended in current.keys() - {one.tenant_id for one in tenants}:
            await tenant_lifecycle.end(write, current[ended])
            write.audit(_BOOT, "tenant.ended", f"tenant:{ended.hex()}", ended)
        for one in tenants:
            try:
                await _declare(write, one, current.get(one.tenant_id), quotas)
            except Denied as error:
                raise Denied(error.code, f"tenant {one.name}: {error.detail}") from error


async def _declare(
    write: Write, tenant: DeclaredTenant, row: InviteRow | None, quotas: Quotas
) -> None:
    if await tenants.is_removed(write.session, tenant.tenant_id):
        return
    is_new = row is None
    if row is None:
        row = await _add_or_restore(write, tenant)
    held = await invites.get_hostnames(write.session, row.invite_id)
    is_changed = set(held) != set(tenant.hostnames)
    if is_changed:
        await tenant_lifecycle.set_hostnames(write, row, tenant.hostnames, quotas)
        write.touch(row)
    if is_new or is_changed:
        subject = f"tenant:{tenant.tenant_id.hex()}"
        write.audit(_BOOT, "tenant.declared", subject, tenant.tenant_id)


async def _add_or_restore(write: Write, tenant: DeclaredTenant) -> InviteRow:
    previous = await tenants.find(write.session, tenant.tenant_id)
    if previous is not None and previous.secret_hash != NO_SECRET:
        raise Denied(Code.INVALID_REQUEST, "has an invite already; leave it out of the settings")
    if previous is not None:  # it was declared earlier, and ended in between
        await invites.restore(write, previous)
        if not tenants.is_suspended(previous):
            await routes.unblock_tenant(write, tenant.tenant_id)
        return previous
    row = InviteRow(
        invite_id=sha256(b"towonel declared tenant" + tenant.tenant_id).digest()[:INVITE_ID_BYTES],
        name=tenant.name,
        secret_hash=NO_SECRET,
        tenant_id=tenant.tenant_id,
        tenant_public_key=tenant.public_key,
        created_at_ms=write.now_ms,
    )
    await invites.add_invite(write, row, ())
    return row
