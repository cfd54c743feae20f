"""Repository of agents."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlmodel import col, func, select
from sqlmodel.ext.asyncio.session import AsyncSession

from towonel.hub.store.db.pagination import Paged, Paging, page
from towonel.hub.store.db.upsert import upsert
from towonel.hub.store.tables import AgentRow

FRESH_MS = 180_000  # an agent refreshes every minute; after three missed ones it has stopped


@dataclass(frozen=True, slots=True)
class AgentFilter:
    """Filter of agents; a field that is None is ignored."""

    tenant_id: bytes | None = None
    group: str | None = None
    agent_ids: Sequence[bytes] | None = None

    def where(self) -> list[Any]:
        """Return the conditions of the query."""
        found: list[Any] = []
        if self.tenant_id is not None:
            found.append(AgentRow.tenant_id == self.tenant_id)
        if self.group is not None:
            found.append(AgentRow.group == self.group)
        if self.agent_ids is not None:
            found.append(col(AgentRow.agent_id).in_(self.agent_ids))
        return found


async def find(session: AsyncSession, agent_id: bytes) -> AgentRow | None:
    """Return an agent, or None if it is unknown."""
    return await session.get(AgentRow, agent_id)


async def list_page(
    session: AsyncSession, paging: Paging, matching: AgentFilter
) -> Paged[AgentRow]:
    """Return a page of agents, the newest first."""
    query = select(AgentRow).where(*matching.where())
    order = (AgentRow.first_seen_ms, AgentRow.agent_id)
    return await page(session, query, paging, order, descending=True)


async def list_of_tenant(session: AsyncSession, tenant_id: bytes, limit: int) -> Sequence[AgentRow]:
    """Return a tenant's agents, the most recently seen first."""
    query = select(AgentRow).where(AgentRow.tenant_id == tenant_id)
    return (
        await session.exec(query.order_by(col(AgentRow.last_seen_ms).desc()).limit(limit))
    ).all()


async def count_running(
    session: AsyncSession, tenant_id: bytes, excluded_id: bytes, now_ms: int
) -> int:
    """Return how many other agents of a tenant are running."""
    query = select(func.count()).where(
        AgentRow.tenant_id == tenant_id,
        AgentRow.agent_id != excluded_id,
        AgentRow.last_seen_ms > now_ms - FRESH_MS,
        AgentRow.last_seen_ms < now_ms + FRESH_MS,  # later ones are of a clock put back since
        col(AgentRow.revoked_at_ms).is_(None),
    )
    return (await session.exec(query)).one()


async def upsert_seen(session: AsyncSession, row: AgentRow) -> None:
    """Add an agent or update when it was last seen; `first_seen_ms` stays."""
    await upsert(session, row, "tenant_id", "group", "last_seen_ms")
