"""Tenants' logs of signed entries in the database, no longer than what their tenants have."""

from collections.abc import Sequence

from sqlmodel import col, delete, select
from sqlmodel.ext.asyncio.session import AsyncSession

from towonel.hub.core.legacy.signed_entries import checked, removes, subject, supersedes
from towonel.hub.store.db.transactions import Write
from towonel.hub.store.tables import EntryRow, InviteRow
from towonel.wire.ids import TenantId
from towonel.wire.legacy.entries import EntryPayload, SignedEntry, decode_payload
from towonel.wire.legacy.ops import Op


async def log(session: AsyncSession, tenant_id: TenantId) -> Sequence[SignedEntry]:
    """Return a tenant's entries as they were signed, by sequence."""
    query = select(EntryRow).where(EntryRow.tenant_id == tenant_id).order_by(col(EntryRow.sequence))
    return [
        SignedEntry(row.payload, row.signature, TenantId(row.tenant_id))
        for row in (await session.exec(query)).all()
    ]


async def ops(session: AsyncSession, tenant_id: TenantId) -> list[Op]:
    """Return what a tenant's entries say, by sequence; their signatures were checked once."""
    return [checked(decode_payload(entry.payload).op) for entry in await log(session, tenant_id)]


async def append(
    change: Write, invite: InviteRow, entry: SignedEntry, payload: EntryPayload, op: Op
) -> None:
    """Add an entry that follows all others, and drop those that no longer matter."""
    session = change.session
    tenant_id = entry.tenant_id
    newest = await _newest(session, tenant_id)
    if newest is not None and removes(checked(decode_payload(newest.payload).op)):
        await session.delete(newest)
    await session.exec(
        delete(EntryRow).where(
            col(EntryRow.tenant_id) == tenant_id, col(EntryRow.subject).in_(supersedes(op))
        )
    )
    session.add(
        EntryRow(
            tenant_id=tenant_id,
            sequence=payload.sequence,
            subject=subject(op),
            payload=entry.payload,
            signature=entry.signature,
        )
    )
    invite.last_sequence = payload.sequence
    session.add(invite)
    await session.flush()


async def of_subject(session: AsyncSession, tenant_id: TenantId, about: str) -> Op | None:
    """Return the newest op about a subject, if one is kept."""
    query = (
        select(EntryRow)
        .where(EntryRow.tenant_id == tenant_id, EntryRow.subject == about)
        .order_by(col(EntryRow.sequence).desc())
    )
    row = (await session.exec(query)).first()
    return None if row is None else decode_payload(row.payload).op


async def _newest(session: AsyncSession, tenant_id: TenantId) -> EntryRow | None:
    query = select(EntryRow).where(EntryRow.tenant_id == tenant_id)
    return (await session.exec(query.order_by(col(EntryRow.sequence).desc()))).first()
