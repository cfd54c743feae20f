"""Retention: deletes old rows, so that no table grows without bound."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import inspect
from sqlalchemy import select as select_columns
from sqlmodel import SQLModel, and_, col, delete, func, select, update
from sqlmodel.ext.asyncio.session import AsyncSession

from towonel.hub.core.route_history import TAGS
from towonel.hub.store.certificate_requests import REQUEST_MS
from towonel.hub.store.db.transactions import Write
from towonel.hub.store.routes import get_revision
from towonel.hub.store.tables import (
    AgentRow,
    AnswerRow,
    AuditRow,
    BlockRow,
    CertificateRequestRow,
    NonceRow,
    ReportRow,
    RevisionRow,
    RevisionTagRow,
    RouteRow,
)
from towonel.identity.grants import GRANT_LIFETIME_MS
from towonel.identity.signatures import MAX_SKEW_MS

DAY_MS = 24 * 3_600_000
NONCE_MS = 2 * MAX_SKEW_MS  # a later replay fails by its own time
BLOCK_MS = GRANT_LIFETIME_MS + 3_600_000  # no grant outlives it, clocks an hour off included
TOMBSTONE_MS = DAY_MS  # an edge away for longer gets a snapshot
IDEMPOTENCY_MS = DAY_MS
AGENT_MS = GRANT_LIFETIME_MS  # an agent not seen for that long has no valid grant either
REPORT_MS = DAY_MS


@dataclass(frozen=True, slots=True)
class Retention:
    """Retention periods that the operator can set, and how much is deleted at once.

    Args:
        audit_days: of the audit log.
        rows_at_once: per table: other writes wait no longer than that takes.
        tombstones: of routes; of more the oldest are deleted, and edges that knew them get a snapshot.
    """

    audit_days: int = 90
    rows_at_once: int = 2_000
    tombstones: int = 20_000


async def prune(write: Write, retention: Retention = Retention()) -> bool:
    """Delete a batch of old rows of each table; returns whether there may be more."""
    session, now_ms, most = write.session, write.now_ms, retention.rows_at_once
    audit_ms = retention.audit_days * DAY_MS
    counts = [
        await _delete_before(
            session, NonceRow, col(NonceRow.timestamp_ms), now_ms - NONCE_MS, most
        ),
        await _delete_before(
            session, AnswerRow, col(AnswerRow.created_at_ms), now_ms - IDEMPOTENCY_MS, most
        ),
        await _delete_before(
            session, AgentRow, col(AgentRow.last_seen_ms), now_ms - AGENT_MS, most
        ),
        await _delete_before(
            session, ReportRow, col(ReportRow.reported_at_ms), now_ms - REPORT_MS, most
        ),
        await _delete_before(
            session,
            CertificateRequestRow,
            col(CertificateRequestRow.requested_at_ms),
            now_ms - REQUEST_MS,
            most,
        ),
        await _delete_before(session, AuditRow, col(AuditRow.at_ms), now_ms - audit_ms, most),
        await _delete_tombstones(
            session, RouteRow, col(RouteRow.removed_at_ms) < now_ms - TOMBSTONE_MS, most
        ),
        await _delete_tombstones(
            session, BlockRow, col(BlockRow.blocked_at_ms) < now_ms - BLOCK_MS, most
        ),
        await _delete_tags(session, most),
        await _delete_excess_tombstones(session, retention.tombstones, most),
    ]
    return most in counts


async def _delete_before(
    session: AsyncSession, table: type[SQLModel], at: Any, before_ms: int, most: int
) -> int:
    """Delete the oldest rows of a table; returns the number."""
    old = select(at).where(at < before_ms).order_by(at).limit(most)
    oldest = (await session.exec(old)).all()
    if oldest:
        await session.exec(delete(table).where(at <= oldest[-1]))
    return len(oldest)


async def _delete_tags(session: AsyncSession, most: int) -> int:
    """Delete the tags of old revisions; returns the number."""
    newest = await get_revision(session)
    number = col(RevisionTagRow.revision)
    return await _delete_before(session, RevisionTagRow, number, newest - TAGS, most)


async def _delete_excess_tombstones(session: AsyncSession, retained: int, most: int) -> int:
    """Delete the oldest tombstones of routes of those that are too many; returns the number."""
    newest = await _find_excess_tombstone(session, retained)
    if newest is None:
        return 0
    is_old = and_(col(RouteRow.removed_at_ms).is_not(None), col(RouteRow.revision) <= newest)
    return await _delete_tombstones(session, RouteRow, is_old, most)


async def _delete_tombstones(
    session: AsyncSession, table: type[RouteRow | BlockRow], is_old: Any, most: int
) -> int:
    """Delete the oldest tombstones; an edge with an earlier revision then gets a snapshot."""
    (key,) = inspect(table).primary_key
    old = select_columns(key, col(table.revision)).where(is_old)
    oldest = old.order_by(col(table.revision)).limit(most)
    found = (await (await session.connection()).execute(oldest)).all()
    if found:
        newest = found[-1][1]
        await session.exec(delete(table).where(key.in_([key for key, _ in found])))
        # `pruned` never decreases: with a clock set back, a later tombstone can look older.
        behind = col(RevisionRow.pruned) < newest
        await session.exec(update(RevisionRow).where(behind).values(pruned=newest))
    return len(found)


async def _find_excess_tombstone(session: AsyncSession, most: int) -> int | None:
    """Return the revision of the newest tombstone of those beyond the `most` newest, or None."""
    is_removed = col(RouteRow.removed_at_ms) >= 0  # for an index, whose rows are those that have it
    count = (await session.exec(select(func.count()).where(is_removed))).one()
    if count <= most:  # as a rule: the other query reads more than this one's index
        return None
    query = (
        select(RouteRow.revision)
        .where(is_removed)
        .order_by(col(RouteRow.revision).desc())
        .offset(most)
        .limit(1)
    )
    return (await session.exec(query)).first()
