"""Repository of tenants: the invite of a tenant, its status, its quotas and its removal."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import select as select_columns
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from towonel.api.limits import EDGE_LIMITS, Limits
from towonel.hub.core.quotas import Quotas
from towonel.hub.core.route_history import LimitsChange
from towonel.hub.store.db.transactions import Write
from towonel.hub.store.tables import LIMITED, REVOKED, SERVED, InviteRow, RemovalRow
from towonel.wire.errors import Code, Denied
from towonel.wire.ids import TenantId
from towonel.wire.policy.tenant_limits import NO_LIMITS, TenantLimits


async def find(session: AsyncSession, tenant_id: bytes) -> InviteRow | None:
    """Return the invite of a tenant, revoked or not."""
    return (await session.exec(select(InviteRow).where(InviteRow.tenant_id == tenant_id))).first()


async def get(session: AsyncSession, tenant_id: TenantId) -> InviteRow:
    """Return the invite of a tenant that signed a request.

    Raises:
        Denied: TENANT_NOT_ALLOWED if this hub has no such tenant.
    """
    row = await find(session, tenant_id)
    if row is None:
        raise Denied(Code.TENANT_NOT_ALLOWED, "this hub has no such tenant")
    return row


async def find_overdue(session: AsyncSession, now_ms: int, most: int) -> Sequence[InviteRow]:
    """Return active invites that are served, and whose time of being served is over."""
    query = select(InviteRow).where(SERVED, col(InviteRow.serves_until_ms) <= now_ms)
    return (await session.exec(query.limit(most))).all()


def check_active(row: InviteRow) -> None:
    """Check that a tenant is neither revoked nor suspended, and that its time is not over.

    Raises:
        Denied: TENANT_REVOKED or TENANT_SUSPENDED.
    """
    if row.status == REVOKED:
        raise Denied(Code.TENANT_REVOKED, "the invite is revoked")
    if row.suspended_at_ms is not None:
        raise Denied(Code.TENANT_SUSPENDED, "the hub's operator has suspended this tenant")
    if row.ended_at_ms is not None:
        raise Denied(
            Code.TENANT_SUSPENDED,
            "the time for which the hub serves this tenant is over; its operator can extend it",
        )


def is_suspended(row: InviteRow) -> bool:
    """Whether a tenant is not served, by an operator or because its time is over."""
    return row.suspended_at_ms is not None or row.ended_at_ms is not None


async def is_removed(session: AsyncSession, tenant_id: bytes) -> bool:
    """Whether a tenant was removed from this hub."""
    return await session.get(RemovalRow, tenant_id) is not None


async def mark_removed(write: Write, tenant_id: bytes) -> None:
    """Record that a tenant was removed."""
    await write.session.merge(RemovalRow(tenant_id=tenant_id, removed_at_ms=write.now_ms))


def limits_of(row: InviteRow) -> Limits:
    """Return a tenant's own limits; null where the hub's quota applies."""
    return Limits(
        services=row.max_services,
        agents=row.max_agents,
        ports=row.max_ports,
        hostnames=row.max_hostnames,
        connections=row.max_connections,
        connection_rate=row.max_connection_rate,
        bandwidth=row.max_bandwidth,
    )


def quotas_of(row: InviteRow, default: Quotas) -> Quotas:
    """Return the quotas of a tenant: its own limits, else the hub's."""
    own = limits_of(row).model_dump(exclude={*EDGE_LIMITS}, exclude_none=True)
    return replace(default, **own)


async def set_limits(write: Write, row: InviteRow, limits: Limits) -> None:
    """Change the limits of a tenant that are set; edges hear of those that hold there."""
    before = edge_limits_of(row)
    for name in limits.model_fields_set:
        setattr(row, f"max_{name}", getattr(limits, name))
    if edge_limits_of(row) != before:
        row.limits_revision = await write.next_revision()


async def renew_limits(write: Write, row: InviteRow) -> None:
    """Let edges hear that a tenant's limits hold no more, or again: those of revoked ones do not."""
    if row.limits_revision is not None:
        row.limits_revision = await write.next_revision()


def edge_limits_of(row: InviteRow) -> TenantLimits:
    """Return the limits of a tenant at edges."""
    return TenantLimits(row.max_connections, row.max_connection_rate, row.max_bandwidth)


async def find_edge_limits(
    session: AsyncSession, since: int | None
) -> dict[TenantId, LimitsChange]:
    """Return the limits at edges that changed since a revision, or all; a revoked tenant has none any more."""
    query = select_columns(
        col(InviteRow.tenant_id),
        col(InviteRow.status),
        col(InviteRow.limits_revision),
        col(InviteRow.max_connections),
        col(InviteRow.max_connection_rate),
        col(InviteRow.max_bandwidth),
    ).where(LIMITED, col(InviteRow.limits_revision) > (since or 0))
    rows = (await (await session.connection()).execute(query)).all()
    return dict(_to_limits_change(row) for row in rows)


def _to_limits_change(row: Sequence[Any]) -> tuple[TenantId, LimitsChange]:
    tenant_id, status, revision, *limits = row
    own = NO_LIMITS if status == REVOKED else TenantLimits(*limits)
    return TenantId(bytes(tenant_id)), LimitsChange(own, revision)
