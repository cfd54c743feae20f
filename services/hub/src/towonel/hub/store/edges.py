"""Repository of registered edges."""

import json
from collections.abc import Mapping, Sequence

from sqlmodel import col, select, update
from sqlmodel.ext.asyncio.session import AsyncSession

from towonel.hub.store.db.pagination import Paged, Paging, page
from towonel.hub.store.db.transactions import Write
from towonel.hub.store.tables import EdgeRow


async def register(write: Write, row: EdgeRow) -> bool:
    """Insert or update an edge; returns whether anything but the time changed."""
    known = await find(write.session, row.edge_id)
    is_changed = known is None or any(
        getattr(known, name) != getattr(row, name)
        for name in ("addresses", "certificate_pem", "version", "region")
    )
    await write.session.merge(row)
    return is_changed


async def update_seen(session: AsyncSession, seen: Mapping[bytes, int]) -> None:
    """Update when edges were last seen."""
    for edge_id, at_ms in sorted(seen.items()):  # in one order, so that replicas cannot deadlock
        await session.exec(
            update(EdgeRow)
            .where(col(EdgeRow.edge_id) == edge_id, col(EdgeRow.last_seen_ms) < at_ms)
            .values(last_seen_ms=at_ms)
        )


async def find(session: AsyncSession, edge_id: bytes) -> EdgeRow | None:
    """Return an edge, or None if it never registered."""
    return await session.get(EdgeRow, edge_id)


async def list_page(
    session: AsyncSession, paging: Paging, allowed: Sequence[bytes]
) -> Paged[EdgeRow]:
    """Return a page of the registered ones of these edges, by id."""
    query = select(EdgeRow).where(col(EdgeRow.edge_id).in_(allowed))
    return await page(session, query, paging, (EdgeRow.edge_id,))


async def find_registered(session: AsyncSession, allowed: Sequence[bytes]) -> Sequence[EdgeRow]:
    """Return the registered ones of these edges, by id."""
    query = select(EdgeRow).where(col(EdgeRow.edge_id).in_(allowed))
    return (await session.exec(query.order_by(col(EdgeRow.edge_id)))).all()


def addresses_of(row: EdgeRow) -> list[str]:
    """Return the public addresses of an edge."""
    return [str(address) for address in json.loads(row.addresses)]
