"""Repository of API keys: hashes only."""

from collections.abc import Mapping

from sqlmodel import col, func, or_, select, update
from sqlmodel.ext.asyncio.session import AsyncSession

from towonel.hub.store.db.pagination import Paged, Paging, page
from towonel.hub.store.db.transactions import Write
from towonel.hub.store.tables import KeyRow
from towonel.identity.signatures import MAX_SKEW_MS


async def add(write: Write, row: KeyRow) -> None:
    """Add a key."""
    write.session.add(row)
    await write.session.flush()


async def find(session: AsyncSession, key_id: bytes) -> KeyRow | None:
    """Return a key, revoked or not."""
    return await session.get(KeyRow, key_id)


async def list_page(session: AsyncSession, paging: Paging) -> Paged[KeyRow]:
    """Return a page of all keys, the newest first."""
    return await page(
        session, select(KeyRow), paging, (KeyRow.created_at_ms, KeyRow.key_id), descending=True
    )


async def update_used(session: AsyncSession, used: Mapping[bytes, int]) -> None:
    """Update when keys were last used; a time that no other replica's clock can have is replaced."""
    for key_id, at_ms in sorted(used.items()):  # in one order, so that replicas cannot deadlock
        stored_ms = func.coalesce(KeyRow.last_used_ms, 0)
        is_older = or_(stored_ms < at_ms, stored_ms > at_ms + MAX_SKEW_MS)
        await session.exec(
            update(KeyRow).where(col(KeyRow.key_id) == key_id, is_older).values(last_used_ms=at_ms)
        )
