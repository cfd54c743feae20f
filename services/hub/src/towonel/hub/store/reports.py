"""What edges told last, in the database, so that every replica can show it."""

import zlib
from collections.abc import Sequence

from sqlmodel import select
from sqlmodel.ext.asyncio.session import AsyncSession

from towonel.client.live import EdgeReport
from towonel.hub.store.putting import put_row
from towonel.hub.store.rows import ReportRow

MAX_REPORT_BYTES = 8 * 1024 * 1024  # inflated


async def put(session: AsyncSession, edge_id: bytes, report: EdgeReport, now_ms: int) -> None:
    """Keep an edge's newest report, in place of the one before."""
    body = zlib.compress(report.model_dump_json().encode(), level=1)
    row = ReportRow(edge_id=edge_id, reported_at_ms=now_ms, body=body)
    await put_row(session, row, "reported_at_ms", "body")


async def since(
    session: AsyncSession, reported_at_ms: int
) -> Sequence[tuple[bytes, int, EdgeReport]]:
    """Return the reports that came at this time or later: edge, time and report."""
    query = select(ReportRow).where(ReportRow.reported_at_ms >= reported_at_ms)
    return [
        (row.edge_id, row.reported_at_ms, EdgeReport.model_validate_json(_inflated(row.body)))
        for row in (await session.exec(query)).all()
    ]


def _inflated(body: bytes) -> bytes:
    return zlib.decompressobj().decompress(body, MAX_REPORT_BYTES)
