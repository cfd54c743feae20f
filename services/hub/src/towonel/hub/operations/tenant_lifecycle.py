"""A tenant's life: it ends, rests, comes back, and its hostnames change; routes follow at once."""

from collections.abc import Sequence

from sqlmodel import col, delete, update

from towonel.hub.core.ownership import taken
from towonel.hub.core.quotas import Quotas
from towonel.hub.core.quotas import check as check_quota
from towonel.hub.operations.hostname_ownership import reconcile_ownership
from towonel.hub.store import invites, ports, routes
from towonel.hub.store.db.transactions import Write
from towonel.hub.store.tables import REVOKED, AgentRow, EntryRow, InviteRow
from towonel.wire.errors import Code, Denied
from towonel.wire.ids import TenantId
from towonel.wire.names import Hostname


async def end(change: Write, row: InviteRow, now_ms: int) -> None:
    """Revoke an invite: its names and ports are free, its routes gone and its grants void."""
    tenant_id = TenantId(row.tenant_id)
    patterns = await invites.hostnames_of(change.session, row.invite_id)
    await invites.revoke(change, row)
    await routes.withdraw(change, tenant_id, now_ms)
    await ports.release_all(change, tenant_id)
    await reconcile_ownership(change, [Hostname(pattern) for pattern in patterns], now_ms)
    await routes.block_tenant(change, tenant_id, now_ms)


async def remove(change: Write, tenant_id: TenantId, now_ms: int) -> InviteRow | None:
    """End a tenant and forget its entries, for ever; returns its invite, where there was one."""
    row = await invites.invite_of_tenant(change.session, tenant_id)
    if row is not None and row.status != REVOKED:
        await end(change, row, now_ms)
    await invites.mark_removed(change, tenant_id, now_ms)
    await change.session.exec(delete(EntryRow).where(col(EntryRow.tenant_id) == tenant_id))
    await change.session.exec(
        update(AgentRow)
        .where(col(AgentRow.tenant_id) == tenant_id, col(AgentRow.revoked_at_ms).is_(None))
        .values(revoked_at_ms=now_ms)
    )
    return row


async def suspend(change: Write, row: InviteRow, now_ms: int) -> None:
    """Let a tenant rest: it keeps all it has, and nobody is served."""
    row.suspended_at_ms = now_ms
    row.version += 1
    change.session.add(row)
    await routes.block_tenant(change, TenantId(row.tenant_id), now_ms)


async def resume(change: Write, row: InviteRow, now_ms: int) -> None:
    """Let a tenant that rested work again."""
    row.suspended_at_ms = None
    row.version += 1
    change.session.add(row)
    await routes.unblock_tenant(change, TenantId(row.tenant_id), now_ms)


async def set_hostnames(
    change: Write, row: InviteRow, wanted: Sequence[Hostname], most: Quotas, now_ms: int
) -> None:
    """Give a live invite other hostnames; routes of those it loses end.

    Raises:
        Denied: QUOTA_EXCEEDED, or HOSTNAME_CONFLICT naming those that another invite has.
    """
    held = await invites.hostnames_of(change.session, row.invite_id)
    added = [pattern for pattern in wanted if pattern not in set(held)]
    if added:  # a limit that was lowered keeps nobody from having less
        check_quota("hostnames", len(wanted), most.hostnames)
    dropped = [Hostname(pattern) for pattern in held if pattern not in set(wanted)]
    owners = await invites.pattern_owners(change.session, added)
    conflicts = taken(added, owners)
    if conflicts:
        raise Denied(Code.HOSTNAME_CONFLICT, f"another invite has already: {', '.join(conflicts)}")
    await invites.drop_patterns(change, row, dropped)
    await invites.add_patterns(change, row, added)
    await reconcile_ownership(change, [*added, *dropped], now_ms)
