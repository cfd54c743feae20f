"""Repository of edge reports: the newest of each edge, for all replicas."""

import zlib
from collections.abc import Mapping, Sequence
from itertools import batched

import structlog
from pydantic import ValidationError
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from towonel.api.reports import EdgeReport
from towonel.hub.store.db.upsert import upsert
from towonel.hub.store.routes import CHUNK
from towonel.hub.store.tables import ReportRow
from towonel.wire.errors import Code, Denied

log: structlog.stdlib.BoundLogger = structlog.get_logger()
MAX_REPORT_BYTES = 8 * 1024 * 1024  # decompressed


async def put(session: AsyncSession, edge_id: bytes, report: EdgeReport, now_ms: int) -> None:
    """Store an edge's newest report, replacing the previous one.

    Raises:
        Denied: TOO_LARGE if the JSON written here is longer than the body that was sent, and too long.
    """
    # Without defaults: a replica of an older version refuses fields that it does not know.
    text = report.model_dump_json(exclude_defaults=True).encode()
    if len(text) > MAX_REPORT_BYTES:
        raise Denied(Code.TOO_LARGE, f"a report of more than {MAX_REPORT_BYTES} bytes")
    row = ReportRow(edge_id=edge_id, reported_at_ms=now_ms, body=zlib.compress(text, level=1))
    await upsert(session, row, "reported_at_ms", "body")


async def find_newer(
    session: AsyncSession, known: Mapping[bytes, int], after_ms: int
) -> Sequence[tuple[bytes, int, EdgeReport]]:
    """Return edge, time and report of the reports after a time that are not known yet.

    An unreadable report is skipped: a replica of another version may have written it.
    """
    query = select(ReportRow.edge_id, ReportRow.reported_at_ms)
    found = await session.exec(query.where(ReportRow.reported_at_ms > after_ms))
    # Not by comparing times: each replica stamps with its own clock.
    unknown = [edge_id for edge_id, at_ms in found.all() if known.get(edge_id) != at_ms]
    rows: list[ReportRow] = []
    for some in batched(unknown, CHUNK, strict=False):
        bodies = select(ReportRow).where(col(ReportRow.edge_id).in_(some))
        rows += (await session.exec(bodies)).all()
    return [
        (row.edge_id, row.reported_at_ms, report)
        for row in rows
        if (report := _decode(row)) is not None
    ]


def _decode(row: ReportRow) -> EdgeReport | None:
    try:
        text = zlib.decompressobj().decompress(row.body, MAX_REPORT_BYTES)
        return EdgeReport.model_validate_json(text)
    except (zlib.error, ValidationError) as error:
        edge_id = row.edge_id.hex()
        log.warning("report.skipped", edge_id=edge_id, reason=type(error).__name__)
        return None
