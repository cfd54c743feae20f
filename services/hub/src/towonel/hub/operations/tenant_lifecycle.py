"""Life cycle of a tenant: suspend, resume, revoke and remove, and a change of its hostnames."""

from collections.abc import Sequence

from sqlmodel import col, delete, update

from towonel.hub.core.ownership import find_taken
from towonel.hub.core.quotas import Quotas, check_quota
from towonel.hub.operations.hostname_ownership import reconcile_ownership
from towonel.hub.store import invites, ports, routes, tenants
from towonel.hub.store.audit import Actor
from towonel.hub.store.db.transactions import Write
from towonel.hub.store.tables import REVOKED, AgentRow, EntryRow, InviteRow
from towonel.wire import base64url
from towonel.wire.errors import Code, Denied
from towonel.wire.ids import TenantId
from towonel.wire.names import Hostname

_DECLARED = (
    "TOWONEL_TENANTS names this tenant, so that the next start of the hub would bring it back;"
    " take it out there, or remove the tenant"
)


async def end(write: Write, row: InviteRow) -> None:
    """Revoke a tenant's invite: its names and ports become free, its routes and grants end."""
    tenant_id = TenantId(row.tenant_id)
    patterns = await invites.get_hostnames(write.session, row.invite_id)
    await invites.revoke(write, row)
    await routes.withdraw(write, tenant_id)
    await ports.release_all(write, tenant_id)
    await reconcile_ownership(write, [Hostname(pattern) for pattern in patterns])
    await routes.block_tenant(write, tenant_id)


async def revoke(write: Write, actor: Actor, row: InviteRow) -> None:
    """End a tenant on behalf of an operator.

    Raises:
        Denied: INVALID_REQUEST for a declared tenant, which the next start would bring back.
    """
    if row.secret_hash == invites.NO_SECRET:
        raise Denied(Code.INVALID_REQUEST, _DECLARED)
    await end(write, row)
    subject = f"invite:{base64url.encode(row.invite_id)}"
    write.audit(actor, "invite.revoked", subject, row.tenant_id, before={"name": row.name})


async def remove(write: Write, actor: Actor, tenant_id: TenantId) -> None:
    """End a tenant for ever and delete its entries; it may be unknown to this hub."""
    row = await tenants.find(write.session, tenant_id)
    if row is not None and row.status != REVOKED:
        await end(write, row)
    await tenants.mark_removed(write, tenant_id)
    await write.session.exec(delete(EntryRow).where(col(EntryRow.tenant_id) == tenant_id))
    await write.session.exec(
        update(AgentRow)
        .where(col(AgentRow.tenant_id) == tenant_id, col(AgentRow.revoked_at_ms).is_(None))
        .values(revoked_at_ms=write.now_ms)
    )
    before = None if row is None else {"name": row.name}
    write.audit(actor, "tenant.removed", f"tenant:{tenant_id.hex()}", tenant_id, before=before)


async def suspend(write: Write, actor: Actor, row: InviteRow) -> None:
    """Suspend an active tenant: it keeps all it has, and is not served."""
    if row.suspended_at_ms is not None:
        return
    row.suspended_at_ms = write.now_ms
    write.touch(row)
    await routes.block_tenant(write, TenantId(row.tenant_id))
    _audit_status(write, actor, row, "suspended", before="active")


async def resume(write: Write, actor: Actor, row: InviteRow) -> None:
    """Resume a suspended tenant."""
    if row.suspended_at_ms is None:
        return
    row.suspended_at_ms = None
    write.touch(row)
    await routes.unblock_tenant(write, TenantId(row.tenant_id))
    _audit_status(write, actor, row, "active", before="suspended")


async def set_hostnames(
    write: Write, row: InviteRow, patterns: Sequence[Hostname], most: Quotas
) -> None:
    """Replace the hostnames of an active invite; routes of those it loses end.

    Raises:
        Denied: QUOTA_EXCEEDED, or HOSTNAME_CONFLICT naming those that another invite has.
    """
    held = await invites.get_hostnames(write.session, row.invite_id)
    added = [pattern for pattern in patterns if pattern not in set(held)]
    if added:  # an invite above a limit that was lowered may still lose hostnames
        check_quota("hostnames", len(patterns), most.hostnames)
    dropped = [Hostname(pattern) for pattern in held if pattern not in set(patterns)]
    owners = await invites.find_owners(write.session, added)
    conflicts = find_taken(added, owners)
    if conflicts:
        holders = await invites.name_holders(write.session, conflicts, write.now_ms)
        raise Denied(Code.HOSTNAME_CONFLICT, f"another invite has already: {holders}")
    await invites.drop_patterns(write, row, dropped)
    await invites.add_patterns(write, row, added)
    await reconcile_ownership(write, [*added, *dropped])


def _audit_status(write: Write, actor: Actor, row: InviteRow, status: str, *, before: str) -> None:
    action = "tenant.suspended" if status == "suspended" else "tenant.resumed"
    write.audit(
        actor,
        action,
        f"tenant:{row.tenant_id.hex()}",
        row.tenant_id,
        before={"status": before},
        after={"status": status},
    )
