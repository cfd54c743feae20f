"""Repository of requests to renew or revoke certificates, which wait for the next report of their edge."""

from collections.abc import Sequence

from sqlmodel import col, delete, func, select
from sqlmodel.ext.asyncio.session import AsyncSession

from towonel.hub.store.db.transactions import Write
from towonel.hub.store.db.upsert import upsert
from towonel.hub.store.tables import CertificateRequestRow

REQUEST_MS = 60_000  # edges report every ten seconds: one that has not reported by then is gone


async def put(write: Write, row: CertificateRequestRow) -> None:
    """Store a request, in place of an earlier one for the same name and edge."""
    await upsert(write.session, row, "action", "reason", "requested_at_ms")


async def count_others(session: AsyncSession, edge_id: bytes, hostname: str, now_ms: int) -> int:
    """Return how many requests for other names wait for an edge."""
    query = select(func.count()).where(
        col(CertificateRequestRow.edge_id) == edge_id,
        col(CertificateRequestRow.hostname) != hostname,
        col(CertificateRequestRow.requested_at_ms) > now_ms - REQUEST_MS,
    )
    return (await session.exec(query)).one()


async def take(
    session: AsyncSession, edge_id: bytes, now_ms: int
) -> Sequence[tuple[str, str, str]]:
    """Delete the requests for an edge; return hostname, action and reason of those that are not too old."""
    row = CertificateRequestRow
    columns = col(row.hostname), col(row.action), col(row.reason), col(row.requested_at_ms)
    statement = delete(row).where(col(row.edge_id) == edge_id).returning(*columns)
    found = (await (await session.connection()).execute(statement)).all()
    return [
        (name, action, reason) for name, action, reason, at in found if at > now_ms - REQUEST_MS
    ]
