"""The audit log: every write, in the order of commits."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from towonel.hub.store.db.pagination import Paged, Paging, page
from towonel.hub.store.db.transactions import Write
from towonel.hub.store.tables import AuditRow

MAX_DETAIL_BYTES = 16 * 1024  # of before, and of after: a thousand hostnames


@dataclass(frozen=True, slots=True)
class Actor:
    """Who writes, with which request, from where: `key:<id>`, `tenant:<id>`, `operator`."""

    name: str
    request_id: str
    address: str


@dataclass(frozen=True, slots=True)
class AuditEvent:
    """What was done: secrets are never part of `before` and `after`.

    Args:
        action: such as `invite.created`.
        subject: what it was done to, such as `invite:<id>`.
        tenant_id: whom it concerns.
        before: what was there, as far as it changed; none for what is new.
        after: what is there now; none for what is gone.
    """

    action: str
    subject: str
    tenant_id: bytes | None = None
    before: Mapping[str, Any] | None = None
    after: Mapping[str, Any] | None = None


async def record(change: Write, actor: Actor, deed: AuditEvent, now_ms: int) -> None:
    """Keep a deed, with the write it tells of or not at all."""
    change.session.add(
        AuditRow(
            at_ms=now_ms,
            actor=actor.name,
            action=deed.action,
            subject=deed.subject,
            tenant_id=deed.tenant_id,
            before=_detail(deed.before),
            after=_detail(deed.after),
            request_id=actor.request_id,
            address=actor.address,
        )
    )
    change.audited = True


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """Which writes are asked for; what is none does not matter. Times in ms, `until` excluded."""

    actor: str | None = None
    action: str | None = None
    subject: str | None = None
    tenant_id: bytes | None = None
    since_ms: int | None = None
    until_ms: int | None = None

    def where(self) -> list[Any]:
        """Return what a row has to fulfil."""
        found: list[Any] = []
        for name in ("actor", "action", "subject", "tenant_id"):
            value = getattr(self, name)
            if value is not None:
                found.append(getattr(AuditRow, name) == value)
        if self.since_ms is not None:
            found.append(AuditRow.at_ms >= self.since_ms)
        if self.until_ms is not None:
            found.append(AuditRow.at_ms < self.until_ms)
        return found


async def newest(session: AsyncSession, paging: Paging, wanted: AuditFilter) -> Paged[AuditRow]:
    """Return a page of writes, the newest first."""
    query = select(AuditRow).where(*wanted.where())
    return await page(session, query, paging, (AuditRow.id,), descending=True)


async def after(session: AsyncSession, last_id: int, limit: int) -> Sequence[AuditRow]:
    """Return what was written after an id, the oldest first."""
    query = select(AuditRow).where(col(AuditRow.id) > last_id).order_by(col(AuditRow.id))
    return (await session.exec(query.limit(limit))).all()


async def newest_id(session: AsyncSession) -> int:
    """Return the id of the last write; 0 before the first."""
    query = select(AuditRow.id).order_by(col(AuditRow.id).desc()).limit(1)
    return (await session.exec(query)).first() or 0


def _detail(value: Mapping[str, Any] | None) -> str | None:
    if value is None:
        return None
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
    if len(text.encode()) <= MAX_DETAIL_BYTES:
        return text
    return json.dumps({"too_long": True, "fields": sorted(value)})
