"""Life cycle of a tenant: suspend, resume, end, revoke and remove, and a change of its hostnames."""

from collections.abc import Sequence

from sqlmodel import col, delete, update

from towonel.hub.core.invites import is_serving_over
from towonel.hub.core.quotas import Quotas, check_quota
from towonel.hub.operations.hostname_ownership import check_free, reconcile_ownership
from towonel.hub.store import invites, ports, publications, routes, tenants
from towonel.hub.store.audit import Actor
from towonel.hub.store.db.transactions import Write
from towonel.hub.store.tables import REVOKED, AgentRow, EntryRow, InviteRow
from towonel.wire import base64url
from towonel.wire.errors import Code, Denied
from towonel.wire.ids import TenantId
from towonel.wire.names import Hostname

_HUB = Actor("hub", "background", "")
ENDED_AT_ONCE = 100  # in one write: others wait no longer than that takes
_DECLARED = (
    "TOWONEL_TENANTS names this tenant, so that the next start of the hub would bring it back;"
    " take it out there, or remove the tenant"
)
_OVER = "the time for which this tenant is served is over; extend `serves_until` of its invite"


async def end(write: Write, row: InviteRow) -> None:
    """Revoke a tenant's invite: its names and ports become free, its routes and grants end."""
    tenant_id = TenantId(row.tenant_id)
    patterns = await invites.get_hostnames(write.session, row.invite_id)
    await invites.revoke(write, row)
    await routes.withdraw(write, tenant_id)
    await publications.delete_of_tenant(write.session, tenant_id)
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
    before = _status(row)
    row.suspended_at_ms = write.now_ms
    await _save_status(write, actor, row, "tenant.suspended", before)


async def resume(write: Write, actor: Actor, row: InviteRow) -> None:
    """Resume a suspended tenant.

    Raises:
        Denied: INVALID_REQUEST for one whose time is over.
    """
    if row.ended_at_ms is not None:
        raise Denied(Code.INVALID_REQUEST, _OVER)
    if row.suspended_at_ms is None:
        return
    row.suspended_at_ms = None
    await _save_status(write, actor, row, "tenant.resumed", "suspended")


async def set_serving_end(
    write: Write, actor: Actor, row: InviteRow, serves_until_ms: int | None
) -> None:
    """Change until when an active tenant is served: it ends or resumes at once if that is due."""
    if serves_until_ms == row.serves_until_ms:  # a clock that was put back resumes nothing
        return
    row.serves_until_ms = serves_until_ms
    if is_serving_over(serves_until_ms, write.now_ms) != (row.ended_at_ms is not None):
        await _end_or_resume(write, actor, row)


async def end_overdue(write: Write, most: int = ENDED_AT_ONCE) -> bool:
    """End serving of tenants whose time is over, some of them; returns whether there may be more."""
    rows = await tenants.find_overdue(write.session, write.now_ms, most)
    for row in rows:
        await _end_or_resume(write, _HUB, row)
    return len(rows) == most


async def _end_or_resume(write: Write, actor: Actor, row: InviteRow) -> None:
    before, is_end = _status(row), row.ended_at_ms is None
    row.ended_at_ms = write.now_ms if is_end else None
    action = "tenant.serving_ended" if is_end else "tenant.serving_resumed"
    await _save_status(write, actor, row, action, before)


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
    await check_free(write, added)
    await invites.drop_patterns(write, row, dropped)
    await invites.add_patterns(write, row, added)
    await reconcile_ownership(write, [*added, *dropped])


async def _save_status(
    write: Write, actor: Actor, row: InviteRow, action: str, before: str
) -> None:
    """Save whether a tenant is served, and tell edges."""
    write.touch(row)
    change = routes.block_tenant if tenants.is_suspended(row) else routes.unblock_tenant
    await change(write, TenantId(row.tenant_id))
    write.audit(
        actor,
        action,
        f"tenant:{row.tenant_id.hex()}",
        row.tenant_id,
        before={"status": before},
        after={"status": _status(row)},
    )


def _status(row: InviteRow) -> str:
    if row.ended_at_ms is not None:
        return "ended"
    return "active" if row.suspended_at_ms is None else "suspended"
