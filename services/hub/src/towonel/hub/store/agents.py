"""Agents that proved an invite, in the database."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlmodel import col, func, select
from sqlmodel.ext.asyncio.session import AsyncSession

from towonel.hub.store.db.pagination import Paged, Paging, page
from towonel.hub.store.db.upsert import upsert
from towonel.hub.store.tables import AgentRow
from towonel.wire.ids import AgentId, TenantId

HEARTBEAT_MS = 90_000
FRESH_MS = 180_000  # an agent asks every minute; who missed three of them is gone


@dataclass(frozen=True, slots=True)
class AgentFilter:
    """Which agents are asked for; what is none does not matter."""

    tenant_id: bytes | None = None
    group: str | None = None
    agent_ids: Sequence[bytes] | None = None

    def where(self) -> list[Any]:
        """Return what a row has to fulfil."""
        found: list[Any] = []
        if self.tenant_id is not None:
            found.append(AgentRow.tenant_id == self.tenant_id)
        if self.group is not None:
            found.append(AgentRow.group == self.group)
        if self.agent_ids is not None:
            found.append(col(AgentRow.agent_id).in_(self.agent_ids))
        return found


async def find(session: AsyncSession, agent_id: bytes) -> AgentRow | None:
    """Return an agent, if it was ever seen."""
    return await session.get(AgentRow, agent_id)


async def newest(session: AsyncSession, paging: Paging, wanted: AgentFilter) -> Paged[AgentRow]:
    """Return a page of agents, the newest first."""
    query = select(AgentRow).where(*wanted.where())
    order = (AgentRow.first_seen_ms, AgentRow.agent_id)
    return await page(session, query, paging, order, descending=True)


async def of_tenant(session: AsyncSession, tenant_id: bytes, limit: int) -> Sequence[AgentRow]:
    """Return a tenant's agents, those seen last first."""
    query = select(AgentRow).where(AgentRow.tenant_id == tenant_id)
    return (
        await session.exec(query.order_by(col(AgentRow.last_seen_ms).desc()).limit(limit))
    ).all()


async def running(session: AsyncSession, tenant_id: bytes, but: bytes, now_ms: int) -> int:
    """Return how many agents of a tenant were there just now, without one of them."""
    query = select(func.count()).where(
        AgentRow.tenant_id == tenant_id,
        AgentRow.agent_id != but,
        AgentRow.last_seen_ms > now_ms - FRESH_MS,
        col(AgentRow.revoked_at_ms).is_(None),
    )
    return (await session.exec(query)).one()


async def seen(session: AsyncSession, row: AgentRow) -> None:
    """Note that an agent is there; it keeps the time it was seen first."""
    await upsert(session, row, "tenant_id", "group", "last_seen_ms")


async def heard(session: AsyncSession, row: AgentRow, now_ms: int) -> None:
    """Note a heartbeat of an agent that its tenant named, however long it was silent."""
    at = AgentRow(**row.model_dump() | {"last_seen_ms": now_ms})
    await upsert(session, at, "last_seen_ms")


async def fresh(session: AsyncSession, now_ms: int) -> Sequence[tuple[TenantId, AgentId]]:
    """Return tenant and id of each agent that was there within 90 s, as the original counts."""
    query = select(AgentRow.tenant_id, AgentRow.agent_id).where(
        AgentRow.last_seen_ms > now_ms - HEARTBEAT_MS, col(AgentRow.revoked_at_ms).is_(None)
    )
    found = (await session.exec(query)).all()
    return [(TenantId(tenant), AgentId(agent)) for tenant, agent in found]
