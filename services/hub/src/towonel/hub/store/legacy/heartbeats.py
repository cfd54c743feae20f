"""Repository of the heartbeats of the original's agents."""

from collections.abc import Sequence
from typing import Any

from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from towonel.hub.store.db.upsert import upsert
from towonel.hub.store.tables import AgentRow
from towonel.wire.ids import AgentId, TenantId

HEARTBEAT_MS = 90_000  # the original's limit: an agent without a newer one has stopped
# What changes with an agent that was another tenant's; else another write may have set it meanwhile.
_TAKEN = (
    "tenant_id",
    "group",
    "revoked_at_ms",
    "grant_until_ms",
    "left_at_ms",
    "session_seen_ms",
)


async def put(session: AsyncSession, row: AgentRow, now_ms: int) -> None:
    """Store a heartbeat of an agent that its tenant named, however long it was silent."""
    values: dict[str, Any] = row.model_dump() | {"last_seen_ms": now_ms}
    taken = () if row in session else _TAKEN
    await upsert(session, AgentRow(**values), "last_seen_ms", *taken)


async def find_running(session: AsyncSession, now_ms: int) -> Sequence[tuple[TenantId, AgentId]]:
    """Return tenant and id of each agent that was seen within `HEARTBEAT_MS`."""
    query = select(AgentRow.tenant_id, AgentRow.agent_id).where(
        AgentRow.last_seen_ms > now_ms - HEARTBEAT_MS,
        AgentRow.last_seen_ms < now_ms + HEARTBEAT_MS,  # later ones are of a clock put back since
        col(AgentRow.revoked_at_ms).is_(None),
    )
    found = (await session.exec(query)).all()
    return [(TenantId(tenant), AgentId(agent)) for tenant, agent in found]
