"""Revisions of the routes: one row that every write locks, and a random tag for each number."""

import secrets

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from towonel.wire.routes import TAG_BYTES

LOCK = text("SELECT 1 FROM revision WHERE id = 1 FOR UPDATE")
SAME = text("UPDATE revision SET value = value WHERE id = 1")  # a write that changes no value
REVISIONS_LOST = 1_000_000_000  # more than a failover, or a restore of a backup, can ever lose
_NEXT = text("UPDATE revision SET value = value + 1 WHERE id = 1 RETURNING value")
_SKIP = text("UPDATE revision SET value = :past, pruned = :past WHERE id = 1")
_TAG = text(
    "INSERT INTO revision_tags (revision, tag) VALUES (:revision, :tag)"
    " ON CONFLICT (revision) DO UPDATE SET tag = excluded.tag"
)


async def take_next(connection: AsyncConnection, served: int) -> int:
    """Take the next revision, under a random tag.

    The row is locked until the commit, so revisions become visible in their order. If edges already
    received this revision, a failover lost it: numbers are skipped, so that it does not come back with
    other contents, and edges get a snapshot. The tag does the same for a hub that does not know any more
    what edges received; edges of versions before it have only the number.

    Args:
        connection: of the write transaction.
        served: the highest revision that edges received.
    """
    number = int((await connection.execute(_NEXT)).scalar_one())
    if number <= served:
        await connection.execute(_SKIP, {"past": served + REVISIONS_LOST})
        number = int((await connection.execute(_NEXT)).scalar_one())
    tag = secrets.token_bytes(TAG_BYTES)
    await connection.execute(_TAG, {"revision": number, "tag": tag})
    return number
