"""Repository of signed entries: the compacted log of each tenant."""

from collections.abc import Sequence

from sqlmodel import col, delete, select
from sqlmodel.ext.asyncio.session import AsyncSession

from towonel.hub.core.legacy.signed_entries import normalize, removes, subject_of, supersedes
from towonel.hub.store.db.transactions import Write
from towonel.hub.store.tables import EntryRow, InviteRow
from towonel.wire.ids import TenantId
from towonel.wire.legacy.entries import EntryPayload, SignedEntry, decode_payload
from towonel.wire.legacy.ops import Op


async def read_log(session: AsyncSession, tenant_id: TenantId) -> Sequence[SignedEntry]:
    """Return a tenant's entries, by sequence."""
    query = select(EntryRow).where(EntryRow.tenant_id == tenant_id).order_by(col(EntryRow.sequence))
    return [
        SignedEntry(row.payload, row.signature, TenantId(row.tenant_id))
        for row in (await session.exec(query)).all()
    ]


async def read_ops(session: AsyncSession, tenant_id: TenantId) -> list[Op]:
    """Return the ops of a tenant's entries, by sequence; their signatures are checked already."""
    return [
        normalize(decode_payload(entry.payload).op) for entry in await read_log(session, tenant_id)
    ]


async def append(
    write: Write, invite: InviteRow, entry: SignedEntry, payload: EntryPayload, op: Op
) -> None:
    """Append an entry and delete those that it supersedes."""
    session = write.session
    tenant_id = entry.tenant_id
    newest = await _newest(session, tenant_id)
    if newest is not None and removes(normalize(decode_payload(newest.payload).op)):
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
            subject=subject_of(op),
            payload=entry.payload,
            signature=entry.signature,
        )
    )
    invite.last_sequence = payload.sequence
    session.add(invite)
    await session.flush()


async def find_newest_op(session: AsyncSession, tenant_id: TenantId, about: str) -> Op | None:
    """Return the newest op about a subject, or None."""
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
