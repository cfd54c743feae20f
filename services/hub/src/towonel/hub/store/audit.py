"""Repository of the audit log: every write, in the order of commits."""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from towonel.hub.store.db.pagination import Paged, Paging, page
from towonel.hub.store.tables import AuditRow

MAX_DETAIL_BYTES = 16 * 1024  # of `before` and of `after`: enough for a thousand hostnames


@dataclass(frozen=True, slots=True)
class Actor:
    """Actor of a write, such as `key:<id>`, `tenant:<id>` or `operator`, with its request and address."""

    name: str
    request_id: str
    address: str


def to_row(
    actor: Actor,
    action: str,
    subject: str,
    tenant_id: bytes | None,
    at_ms: int,
    before: Mapping[str, Any] | None,
    after: Mapping[str, Any] | None,
) -> AuditRow:
    """Return the row of an event; `Write.audit` adds it."""
    return AuditRow(
        at_ms=at_ms,
        actor=actor.name,
        action=action,
        subject=subject,
        tenant_id=tenant_id,
        before=_to_json(before),
        after=_to_json(after),
        request_id=actor.request_id,
        address=actor.address,
    )


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """Filter of events; a field that is None is ignored. Times in ms, `until_ms` excluded."""

    actors: Collection[str] | None = None
    action: str | None = None
    subject: str | None = None
    tenant_id: bytes | None = None
    since_ms: int | None = None
    until_ms: int | None = None

    def where(self) -> list[Any]:
        """Return the conditions of the query."""
        found: list[Any] = []
        if self.actors is not None:
            found.append(col(AuditRow.actor).in_(self.actors))
        for name in ("action", "subject", "tenant_id"):
            value = getattr(self, name)
            if value is not None:
                found.append(getattr(AuditRow, name) == value)
        if self.since_ms is not None:
            found.append(AuditRow.at_ms >= self.since_ms)
        if self.until_ms is not None:
            found.append(AuditRow.at_ms < self.until_ms)
        return found


async def list_page(
    session: AsyncSession, paging: Paging, matching: AuditFilter
) -> Paged[AuditRow]:
    """Return a page of events, the newest first."""
    query = select(AuditRow).where(*matching.where())
    return await page(session, query, paging, (AuditRow.id,), descending=True)


async def list_after(session: AsyncSession, last_id: int, limit: int) -> Sequence[AuditRow]:
    """Return the events after an id, the oldest first."""
    query = select(AuditRow).where(col(AuditRow.id) > last_id).order_by(col(AuditRow.id))
    return (await session.exec(query.limit(limit))).all()


async def get_newest_id(session: AsyncSession) -> int:
    """Return the id of the newest event, or 0 if there is none."""
    query = select(AuditRow.id).order_by(col(AuditRow.id).desc()).limit(1)
    return (await session.exec(query)).first() or 0


def _to_json(value: Mapping[str, Any] | None) -> str | None:
    if value is None:
        return None
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
    if len(text.encode()) <= MAX_DETAIL_BYTES:
        return text
    return json.dumps({"too_long": True, "fields": sorted(value)})
