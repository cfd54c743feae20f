"""What is forgotten after a while, so that nothing grows without bound."""

from dataclasses import dataclass

from sqlmodel import col, delete, func, select, update
from sqlmodel.ext.asyncio.session import AsyncSession

from towonel.hub.store import reports
from towonel.hub.store.rows import (
    AgentRow,
    AnswerRow,
    AuditRow,
    BlockRow,
    NonceRow,
    RevisionRow,
    RouteRow,
)
from towonel.hub.store.session import Change
from towonel.identity.grants import GRANT_LIFETIME_MS
from towonel.identity.signatures import MAX_SKEW_MS

DAY_MS = 24 * 3_600_000
NONCE_MS = 2 * MAX_SKEW_MS  # later the request's own time refuses it
BLOCK_MS = GRANT_LIFETIME_MS + 3_600_000  # no grant outlives it, clocks an hour off included
TOMBSTONE_MS = DAY_MS  # an edge away for longer gets a snapshot
ANSWER_MS = DAY_MS  # of a create that was repeated
AGENT_MS = GRANT_LIFETIME_MS  # who asked for nothing that long has no grant either
REPORT_MS = DAY_MS
MAX_AUDIT_ROWS_A_TIME = 10_000  # a lock is held for no longer than that takes


@dataclass(frozen=True, slots=True)
class Retention:
    """What an operator decides about it."""

    audit_days: int = 90


async def prune(change: Change, now_ms: int, retention: Retention = Retention()) -> None:
    """Delete what is old."""
    session = change.session
    nonces, blocks = col(NonceRow.timestamp_ms), col(BlockRow.blocked_at_ms)
    answers = col(AnswerRow.created_at_ms)
    await session.exec(delete(NonceRow).where(nonces < now_ms - NONCE_MS))
    await session.exec(delete(BlockRow).where(blocks < now_ms - BLOCK_MS))
    await session.exec(delete(AnswerRow).where(answers < now_ms - ANSWER_MS))
    await _prune_agents(session, now_ms)
    await reports.forget(session, now_ms - REPORT_MS)
    await _prune_audit(session, now_ms - retention.audit_days * DAY_MS)
    await _prune_tombstones(session, now_ms - TOMBSTONE_MS)


async def _prune_agents(session: AsyncSession, now_ms: int) -> None:
    old = col(AgentRow.last_seen_ms) < now_ms - AGENT_MS
    await session.exec(delete(AgentRow).where(old))


async def _prune_audit(session: AsyncSession, before_ms: int) -> None:
    oldest = select(AuditRow.id).where(AuditRow.at_ms < before_ms).limit(MAX_AUDIT_ROWS_A_TIME)
    await session.exec(delete(AuditRow).where(col(AuditRow.id).in_(oldest)))


async def _prune_tombstones(session: AsyncSession, before_ms: int) -> None:
    old = col(RouteRow.removed_at_ms) < before_ms
    newest = (
        await session.exec(select(func.coalesce(func.max(RouteRow.revision), 0)).where(old))
    ).one()
    if newest:
        await session.exec(delete(RouteRow).where(old))
        # A wall clock set back makes a later deletion look older: what was said stays said.
        behind = col(RevisionRow.pruned) < newest
        await session.exec(update(RevisionRow).where(behind).values(pruned=newest))
