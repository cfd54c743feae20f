"""Heartbeat of an agent that its tenant named by a signed entry."""

from sqlmodel.ext.asyncio.session import AsyncSession

from towonel.hub.context import Hub
from towonel.hub.operations.renew_grant import is_revoked
from towonel.hub.store import agents, nonces, tenants
from towonel.hub.store.legacy import entries, heartbeats
from towonel.hub.store.tables import AgentRow
from towonel.identity.signatures import Domain, Signature
from towonel.wire.errors import Code, Denied
from towonel.wire.ids import AgentId, TenantId
from towonel.wire.legacy.heartbeat import Heartbeat
from towonel.wire.legacy.ops import UpsertAgent

ENTRIES_GROUP = "@entries"  # no agent can have a group of this name


async def record_heartbeat(
    hub: Hub, session: AsyncSession, signed: Signature, heartbeat: Heartbeat
) -> None:
    """Record that an agent is running.

    Raises:
        Denied: TENANT_REVOKED, TENANT_SUSPENDED, REPLAYED, or TENANT_NOT_ALLOWED for an agent that is
            not the tenant's.
    """
    row = await check_heartbeat(hub, session, heartbeat)
    await nonces.use(session, Domain.AGENT_HEARTBEAT, signed)
    await heartbeats.put(session, row, hub.now_ms())


async def check_heartbeat(hub: Hub, session: AsyncSession, heartbeat: Heartbeat) -> AgentRow:
    """Return the row of an agent that belongs to an active tenant.

    Raises:
        Denied: TENANT_REVOKED, TENANT_SUSPENDED, or TENANT_NOT_ALLOWED for an agent that is not the
            tenant's.
    """
    tenants.check_active(await tenants.get(session, heartbeat.tenant_id))
    return await _get_agent(hub, session, heartbeat)


def new_agent_row(tenant_id: TenantId, agent_id: AgentId, now_ms: int) -> AgentRow:
    """Return the row of an agent that an entry names."""
    return AgentRow(
        agent_id=agent_id,
        tenant_id=tenant_id,
        group=ENTRIES_GROUP,
        first_seen_ms=now_ms,
        last_seen_ms=now_ms,
    )


async def _get_agent(hub: Hub, session: AsyncSession, heartbeat: Heartbeat) -> AgentRow:
    tenant_id, agent_id = heartbeat.tenant_id, heartbeat.agent_id
    row = await agents.find(session, agent_id)
    if row is None or row.tenant_id != tenant_id:
        # Its row expired after a day of silence, or another tenant named it: it says itself whose it is,
        # and the entry that names it counts.
        op = await entries.find_newest_op(session, tenant_id, f"agent:{agent_id.hex()}")
        declared_by = hub.policy.agents.get(agent_id)
        is_named = declared_by == tenant_id if declared_by else isinstance(op, UpsertAgent)
        is_named = is_named and not is_revoked(row, tenant_id, hub.now_ms())
        row = new_agent_row(tenant_id, agent_id, hub.now_ms()) if is_named else None
    if row is None or row.revoked_at_ms is not None:
        raise Denied(Code.TENANT_NOT_ALLOWED, "this agent does not belong to the tenant")
    return row
