"""Repository of registered edges."""

import json
from collections.abc import Mapping, Sequence

from sqlmodel import col, select, update
from sqlmodel.ext.asyncio.session import AsyncSession

from towonel.hub.store.db.pagination import Paged, Paging, page
from towonel.hub.store.db.transactions import Write
from towonel.hub.store.tables import REVOKED, EdgeInviteRow, EdgeRow

_LISTED = ("addresses", "certificate_pem", "region")  # of an edge, agents are told these


async def register(write: Write, row: EdgeRow) -> frozenset[str]:
    """Insert or update an edge; returns what has changed but the time, of a new one all of it.

    What agents are told of it makes a new revision of the routes, by which its edges and replicas hear of it.
    """
    known = await find(write.session, row.edge_id)
    names = ("version", *_LISTED)
    changed = frozenset(
        name for name in names if known is None or getattr(known, name) != getattr(row, name)
    )
    await write.session.merge(row)
    if not changed.isdisjoint(_LISTED):
        await write.next_revision()
    return changed


async def find_listed(session: AsyncSession) -> Sequence[tuple[object, ...]]:
    """Return what agents are told of each edge that is not revoked; of the hub's own, without an invite, too."""
    invited = col(EdgeInviteRow.edge_id) == EdgeRow.edge_id
    query = (
        select(EdgeRow, EdgeInviteRow.name)
        .join(EdgeInviteRow, invited, isouter=True)
        .where(col(EdgeInviteRow.status).is_distinct_from(REVOKED))
    )
    found = (await session.exec(query)).all()
    return [(name, row.edge_id, *(getattr(row, it) for it in _LISTED)) for row, name in found]


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
