"""Repository of edge invites."""

from collections.abc import Mapping

from sqlmodel import col, select, update
from sqlmodel.ext.asyncio.session import AsyncSession

from towonel.hub.store.db.pagination import Paged, Paging, page
from towonel.hub.store.db.transactions import Write
from towonel.hub.store.tables import PENDING, REVOKED, EdgeInviteRow


async def add(write: Write, row: EdgeInviteRow) -> None:
    """Add an edge invite; replicas see it by the new revision of the routes."""
    write.session.add(row)
    await write.next_revision()
    await write.session.flush()


async def list_page(session: AsyncSession, paging: Paging) -> Paged[EdgeInviteRow]:
    """Return a page of edge invites, the newest first."""
    order = (EdgeInviteRow.created_at_ms, EdgeInviteRow.invite_id)
    return await page(session, select(EdgeInviteRow), paging, order, descending=True)


async def find(session: AsyncSession, invite_id: bytes) -> EdgeInviteRow | None:
    """Return an edge invite, revoked or not."""
    return await session.get(EdgeInviteRow, invite_id)


async def is_active(session: AsyncSession, edge_id: bytes) -> bool:
    """Whether an edge has an active invite."""
    query = select(EdgeInviteRow.status).where(EdgeInviteRow.edge_id == edge_id)
    return (await session.exec(query)).first() == PENDING


async def find_names(session: AsyncSession) -> Mapping[bytes, str]:
    """Return the names of the edges with an active invite, by id."""
    query = select(EdgeInviteRow.edge_id, EdgeInviteRow.name).where(EdgeInviteRow.status == PENDING)
    return {bytes(edge_id): name for edge_id, name in (await session.exec(query)).all()}


async def mark_used(write: Write, edge_id: bytes) -> None:
    """Record the first registration of an edge."""
    is_new = (col(EdgeInviteRow.edge_id) == edge_id) & col(EdgeInviteRow.used_at_ms).is_(None)
    await write.session.exec(update(EdgeInviteRow).where(is_new).values(used_at_ms=write.now_ms))


async def revoke(write: Write, row: EdgeInviteRow) -> None:
    """Revoke an edge invite; replicas see it by the new revision of the routes."""
    row.status = REVOKED
    write.session.add(row)
    await write.next_revision()
