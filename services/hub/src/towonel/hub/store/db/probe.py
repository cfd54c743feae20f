"""Probe of a database: whether it takes a write that needs new pages.

A write that changes a value in its place still fits on a full disk, and tells nothing.
"""

import errno
import os
import secrets
import tempfile
from pathlib import Path

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from towonel.hub.store.db.revisions import SAME
from towonel.wire.errors import Code, Unavailable

SPACE_BYTES = 1024 * 1024  # more than any one write of a request needs
_LARGE = text(
    "INSERT INTO idempotent_answers (answer_id, request_hash, sealed, created_at_ms)"
    " VALUES (:id, :id, :large, 0)"
)


async def write(connection: AsyncConnection) -> None:
    """Write a value that stays the same, and a large row that is taken back.

    Postgres makes room for the row at once. SQLite does so at the commit: `check_space` is for it.
    """
    await connection.execute(SAME)
    large = secrets.token_bytes(SPACE_BYTES)  # Postgres would compress anything else
    async with connection.begin_nested() as savepoint:
        await connection.execute(_LARGE, {"id": secrets.token_bytes(32), "large": large})
        await savepoint.rollback()


def check_space(folder: Path) -> None:
    """Check that a folder has room for a large write; blocking.

    Raises:
        Unavailable: HUB_UNAVAILABLE where the disk is full, or a quota of it is used up.
    """
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            os.posix_fallocate(file.fileno(), 0, SPACE_BYTES)
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise Unavailable(
                Code.HUB_UNAVAILABLE, "database: disk full", retry_after_s=2
            ) from error
