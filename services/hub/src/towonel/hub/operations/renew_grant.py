"""Renewal of an agent's grant."""

from collections.abc import Sequence

from sqlmodel.ext.asyncio.session import AsyncSession

from towonel.hub.store import agents, nonces, tenants
from towonel.hub.store.tables import AgentRow
from towonel.identity.grants import GRANT_LIFETIME_MS, Grant
from towonel.identity.signatures import Domain, Signature
from towonel.wire.errors import Code, Denied
from towonel.wire.ids import AgentId, TenantId


async def refresh_agent(
    session: AsyncSession,
    signed: Signature,
    grant: Grant,
    now_ms: int,
    *,
    skew_ms: int,
    digest: bytes | None,
    certificate_mismatches: Sequence[str],
) -> Grant:
    """Record that an agent is running, and what it serves; returns its grant, or a new one if half of it is over.

    Args:
        session: of the database.
        signed: the request's signature.
        grant: that the agent has.
        now_ms: the time.
        skew_ms: how far the agent's clock was ahead when the request was here.
        digest: of what the agent published last.
        certificate_mismatches: services whose clients see another certificate than the origin's.

    Raises:
        Denied: TENANT_NOT_ALLOWED, TENANT_REVOKED, TENANT_SUSPENDED, REPLAYED, or GRANT_INVALID for an
            agent that was revoked, has joined another tenant since, or said that it ended.
    """
    tenants.check_active(await tenants.get(session, grant.tenant_id))
    await nonces.use(session, Domain.AGENT_REFRESH, signed)
    row = await agents.find(session, grant.agent_id)
    if is_revoked(row, grant.tenant_id, now_ms):
        raise Denied(Code.GRANT_INVALID, "this agent was revoked")
    if row is not None and row.tenant_id != grant.tenant_id:
        raise Denied(Code.GRANT_INVALID, "this agent has joined another tenant; bootstrap it again")
    if row is not None and row.left_at_ms is not None:
        raise Denied(Code.GRANT_INVALID, "this agent said that it ended; bootstrap it again")
    renewed = renew(grant, now_ms)
    row = to_agent_row(renewed, now_ms)
    row.published_digest, row.clock_skew_ms = digest, skew_ms
    row.certificate_mismatches = "\n".join(certificate_mismatches) or None
    await agents.upsert_seen(session, row)
    return renewed


def is_revoked(row: AgentRow | None, tenant_id: TenantId, now_ms: int) -> bool:
    """Whether an agent may not be admitted by a tenant because it was revoked.

    Another tenant's revocation counts while a grant is valid that the agent itself asked that tenant
    for: the agent has one row, and a new one in its place would undo the revocation.
    """
    if row is None or row.revoked_at_ms is None:
        return False
    return row.tenant_id == tenant_id or (row.grant_until_ms or 0) > now_ms


def renew(grant: Grant, now_ms: int) -> Grant:
    """Return the same grant, or a new one if half of it is over."""
    if now_ms - grant.not_before_ms <= GRANT_LIFETIME_MS // 2:
        return grant
    return new_grant(grant.agent_id, grant.tenant_id, grant.group, now_ms)


def new_grant(agent_id: AgentId, tenant_id: TenantId, group: str, now_ms: int) -> Grant:
    """Return a grant that is valid from now on."""
    return Grant(agent_id, tenant_id, group, now_ms, now_ms + GRANT_LIFETIME_MS)


def to_agent_row(grant: Grant, now_ms: int) -> AgentRow:
    """Return the row of an agent that is seen now."""
    return AgentRow(
        agent_id=grant.agent_id,
        tenant_id=grant.tenant_id,
        group=grant.group,
        first_seen_ms=now_ms,
        last_seen_ms=now_ms,
        grant_until_ms=grant.not_after_ms,
    )
