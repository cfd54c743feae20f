"""Repository of agents."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import batched
from typing import Any

from sqlmodel import col, func, select, update
from sqlmodel.ext.asyncio.session import AsyncSession

from towonel.hub.store.db.pagination import Paged, Paging, page
from towonel.hub.store.db.upsert import upsert
from towonel.hub.store.routes import CHUNK
from towonel.hub.store.tables import AgentRow
from towonel.wire.ids import TenantId

# An agent that no edge has, and that asked for nothing for so long, is taken for stopped: it asks every minute.
FRESH_MS = 180_000


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


async def find_waiting(
    session: AsyncSession, tenant_id: bytes, excluded_id: bytes, now_ms: int, *, has_reports: bool
) -> set[bytes]:
    """Return the other agents of a tenant that may serve at any time, or do so unseen.

    Args:
        session: of the database.
        tenant_id: the tenant.
        excluded_id: the agent that is not counted.
        now_ms: the time.
        has_reports: whether edges report at all. An agent that an edge had a session with, and none has
            now, has ended then; without reports its grant counts for as long as it is valid.
    """
    seen_ms = col(AgentRow.last_seen_ms)  # one to come is of a clock that was put back since
    was_just_seen = seen_ms.between(now_ms - FRESH_MS, now_ms + FRESH_MS)
    holds_grant = col(AgentRow.grant_until_ms) > now_ms
    if has_reports:
        holds_grant &= col(AgentRow.session_seen_ms).is_(None) & was_just_seen
    query = select(AgentRow.agent_id).where(
        AgentRow.tenant_id == tenant_id,
        AgentRow.agent_id != excluded_id,
        col(AgentRow.revoked_at_ms).is_(None),
        col(AgentRow.left_at_ms).is_(None),
        holds_grant | (col(AgentRow.grant_until_ms).is_(None) & was_just_seen),
    )
    return {bytes(agent_id) for agent_id in (await session.exec(query)).all()}


async def count_grants(
    session: AsyncSession, tenant_id: bytes, excluded_id: bytes, now_ms: int
) -> int:
    """Return how many other agents of a tenant have a valid grant, also those that ended."""
    query = select(func.count()).where(
        AgentRow.tenant_id == tenant_id,
        AgentRow.agent_id != excluded_id,
        col(AgentRow.grant_until_ms) > now_ms,
    )
    return (await session.exec(query)).one()


async def find_left(
    session: AsyncSession, tenant_id: bytes, agent_ids: Collection[bytes]
) -> dict[bytes, int]:
    """Return when those of these agents of a tenant left that said they ended."""
    found: dict[bytes, int] = {}
    for some in batched(sorted(agent_ids), CHUNK, strict=False):
        query = select(AgentRow.agent_id, AgentRow.left_at_ms).where(
            AgentRow.tenant_id == tenant_id,
            col(AgentRow.agent_id).in_(some),
            col(AgentRow.left_at_ms).is_not(None),
        )
        rows = (await session.exec(query)).all()
        found |= {bytes(agent_id): at_ms for agent_id, at_ms in rows if at_ms is not None}
    return found


async def upsert_bootstrapped(session: AsyncSession, row: AgentRow) -> None:
    """Add an agent that has its first grant, or update it as one that starts anew."""
    columns = ("grant_until_ms", "left_at_ms", "session_seen_ms", "revoked_at_ms")
    await upsert(session, row, "tenant_id", "group", "last_seen_ms", "published_digest", *columns)


async def upsert_seen(session: AsyncSession, row: AgentRow) -> None:
    """Add an agent or update when it was last seen, its grant, and what it found.

    `tenant_id` and `revoked_at_ms` stay: another write may have changed them since they were read.
    """
    digest = () if row.published_digest is None else ("published_digest",)
    found = ("clock_skew_ms", "certificate_mismatches")
    await upsert(session, row, "group", "last_seen_ms", "grant_until_ms", *found, *digest)


async def mark_published(
    session: AsyncSession, agent_id: bytes, tenant_id: TenantId, group: str, digest: bytes
) -> None:
    """Record what an agent of a group published: else it would look displaced until it asks again."""
    is_agent = (col(AgentRow.agent_id) == agent_id) & (col(AgentRow.tenant_id) == tenant_id)
    is_of_group = col(AgentRow.group) == group
    await session.exec(
        update(AgentRow).where(is_agent, is_of_group).values(published_digest=digest)
    )


async def mark_left(session: AsyncSession, agent_id: bytes, tenant_id: bytes, now_ms: int) -> None:
    """Record that an agent said it ended."""
    is_agent = (col(AgentRow.agent_id) == agent_id) & (col(AgentRow.tenant_id) == tenant_id)
    await session.exec(update(AgentRow).where(is_agent).values(left_at_ms=now_ms))


async def mark_sessions(session: AsyncSession, agent_ids: Collection[bytes], now_ms: int) -> None:
    """Record that an edge reported its first session of each of these agents."""
    ordered = sorted(agent_ids)  # so that reports of two edges cannot deadlock
    for some in batched(ordered, CHUNK, strict=False):
        is_new = col(AgentRow.agent_id).in_(some) & col(AgentRow.session_seen_ms).is_(None)
        await session.exec(update(AgentRow).where(is_new).values(session_seen_ms=now_ms))
