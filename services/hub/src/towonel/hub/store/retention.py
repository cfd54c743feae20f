"""What is forgotten after a while, so that nothing grows without bound."""

from sqlmodel import col, delete, func, select, update

from towonel.hub.store.rows import BlockRow, NonceRow, RevisionRow, RouteRow
from towonel.hub.store.session import Change
from towonel.identity.grants import GRANT_LIFETIME_MS
from towonel.identity.signatures import MAX_SKEW_MS

NONCE_MS = 2 * MAX_SKEW_MS  # later the request's own time refuses it
BLOCK_MS = GRANT_LIFETIME_MS + 3_600_000  # no grant outlives it, clocks an hour off included
TOMBSTONE_MS = 24 * 3_600_000  # an edge away for longer gets a snapshot


async def prune(change: Change, now_ms: int) -> None:
    """Delete old nonces, blocks, and traces of deleted routes."""
    session = change.session
    await session.exec(delete(NonceRow).where(col(NonceRow.timestamp_ms) < now_ms - NONCE_MS))
    await session.exec(delete(BlockRow).where(col(BlockRow.blocked_at_ms) < now_ms - BLOCK_MS))
    old = col(RouteRow.removed_at_ms) < now_ms - TOMBSTONE_MS
    newest = (
        await session.exec(select(func.coalesce(func.max(RouteRow.revision), 0)).where(old))
    ).one()
    if newest:
        await session.exec(delete(RouteRow).where(old))
        # A wall clock set back makes a later deletion look older: what was said stays said.
        behind = col(RevisionRow.pruned) < newest
        await session.exec(update(RevisionRow).where(behind).values(pruned=newest))
