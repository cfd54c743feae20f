"""Registered edges in the database."""

import json
from collections.abc import Sequence

from sqlmodel import col, select, update
from sqlmodel.ext.asyncio.session import AsyncSession

from towonel.hub.store.rows import EdgeRow
from towonel.hub.store.session import Change


async def register(change: Change, row: EdgeRow) -> None:
    """Add an edge, or what is new about it."""
    await change.session.merge(row)


async def seen(change: Change, edge_id: bytes, now_ms: int) -> None:
    """Note that an edge was here."""
    await change.session.exec(
        update(EdgeRow).where(col(EdgeRow.edge_id) == edge_id).values(last_seen_ms=now_ms)
    )


async def edges(session: AsyncSession) -> Sequence[EdgeRow]:
    """Return all edges that ever registered, in the order of their ids."""
    return (await session.exec(select(EdgeRow).order_by(col(EdgeRow.edge_id)))).all()


def addresses_of(row: EdgeRow) -> list[str]:
    """Return where an edge is reached."""
    return [str(address) for address in json.loads(row.addresses)]
