"""Invites in the database; each is a tenant."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import batched
from typing import Any

from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import defer
from sqlmodel import col, delete, func, select, update
from sqlmodel.ext.asyncio.session import AsyncSession

from towonel.hub.core.ownership import is_wildcard
from towonel.hub.store.db.pagination import Paged, Paging, page
from towonel.hub.store.db.transactions import Write
from towonel.hub.store.routes import CHUNK
from towonel.hub.store.tables import PENDING, REVOKED, InviteHostnameRow, InviteRow, RemovalRow
from towonel.wire.errors import Code, Denied
from towonel.wire.ids import TenantId
from towonel.wire.names import Hostname, wildcard_of

_PUBLIC_KEY: Any = InviteRow.tenant_public_key  # as a column: its type is that of a row's value


@dataclass(frozen=True, slots=True)
class InviteFilter:
    """Which invites are asked for; what is none does not matter.

    Args:
        status: pending or revoked.
        suspended: whether they are suspended.
        name: part of the name.
        hostname: a pattern that they hold, spelled so.
        tenant_id: the only one.
    """

    status: str | None = None
    suspended: bool | None = None
    name: str | None = None
    hostname: str | None = None
    tenant_id: bytes | None = None

    def where(self) -> list[Any]:
        """Return what a row has to fulfil."""
        found: list[Any] = []
        if self.status is not None:
            found.append(InviteRow.status == self.status)
        if self.suspended is not None:
            at = col(InviteRow.suspended_at_ms)
            found.append(at.is_not(None) if self.suspended else at.is_(None))
        if self.name is not None:
            found.append(col(InviteRow.name).icontains(self.name, autoescape=True))
        if self.hostname is not None:
            holders = select(InviteHostnameRow.invite_id).where(
                InviteHostnameRow.pattern == self.hostname.lower()
            )
            found.append(col(InviteRow.invite_id).in_(holders))
        if self.tenant_id is not None:
            found.append(InviteRow.tenant_id == self.tenant_id)
        return found


async def pattern_owners(
    session: AsyncSession, patterns: Iterable[Hostname]
) -> dict[Hostname, TenantId]:
    """Return the tenant of each of these patterns that an active invite holds."""
    query = (
        select(InviteHostnameRow.pattern, InviteRow.tenant_id)
        .join(InviteRow, col(InviteRow.invite_id) == InviteHostnameRow.invite_id)
        .where(InviteHostnameRow.active)
    )
    found: dict[Hostname, TenantId] = {}
    for chunk in batched(patterns, CHUNK, strict=False):
        rows = await session.exec(query.where(col(InviteHostnameRow.pattern).in_(chunk)))
        found |= {Hostname(pattern): TenantId(tenant_id) for pattern, tenant_id in rows.all()}
    return found


async def add_invite(change: Write, row: InviteRow, patterns: Sequence[Hostname]) -> None:
    """Add an invite with its patterns.

    Raises:
        Denied: HOSTNAME_CONFLICT where another write took one of the patterns meanwhile.
    """
    change.session.add(row)
    await change.session.flush()
    await _add_patterns(change, row.invite_id, patterns, 0)


async def _add_patterns(
    change: Write, invite_id: bytes, patterns: Sequence[Hostname], first: int
) -> None:
    change.session.add_all(
        InviteHostnameRow(
            invite_id=invite_id,
            pattern=pattern,
            position=position,
            parent=None if is_wildcard(pattern) else wildcard_of(pattern),
        )
        for position, pattern in enumerate(patterns, first)
    )
    try:
        await change.session.flush()
    except IntegrityError as error:
        raise Denied(Code.HOSTNAME_CONFLICT, "a hostname was taken just now") from error


async def invite(session: AsyncSession, invite_id: bytes) -> InviteRow | None:
    """Return an invite, revoked or not."""
    return await session.get(InviteRow, invite_id)


async def invite_of_tenant(session: AsyncSession, tenant_id: bytes) -> InviteRow | None:
    """Return the invite of a tenant, revoked or not."""
    return (await session.exec(select(InviteRow).where(InviteRow.tenant_id == tenant_id))).first()


async def newest(
    session: AsyncSession, paging: Paging, wanted: InviteFilter | None = None
) -> Paged[InviteRow]:
    """Return a page of invites, the newest first; without the public keys, 2 KB each."""
    query = select(InviteRow).options(defer(_PUBLIC_KEY, raiseload=True))
    if wanted is not None:
        query = query.where(*wanted.where())
    order = (InviteRow.created_at_ms, InviteRow.invite_id)
    return await page(session, query, paging, order, descending=True)


async def count_by_status(session: AsyncSession) -> Mapping[str, int]:
    """Return how many invites there are of each status."""
    query = select(InviteRow.status, func.count()).group_by(InviteRow.status)
    return dict((await session.exec(query)).all())


async def hostnames(
    session: AsyncSession, invite_ids: Sequence[bytes]
) -> Mapping[bytes, list[str]]:
    """Return the patterns of these invites, in the order they were given."""
    query = (
        select(InviteHostnameRow.invite_id, InviteHostnameRow.pattern)
        .where(col(InviteHostnameRow.invite_id).in_(invite_ids))
        .order_by(col(InviteHostnameRow.position))
    )
    found: dict[bytes, list[str]] = {}
    for invite_id, pattern in (await session.exec(query)).all():
        found.setdefault(bytes(invite_id), []).append(pattern)
    return found


async def hostnames_of(session: AsyncSession, invite_id: bytes) -> list[str]:
    """Return the patterns of one invite, in the order they were given."""
    return (await hostnames(session, [invite_id])).get(invite_id, [])


async def add_patterns(change: Write, row: InviteRow, patterns: Sequence[Hostname]) -> None:
    """Give an invite more patterns, none of which it has.

    Raises:
        Denied: HOSTNAME_CONFLICT where another write took one of them meanwhile.
    """
    query = select(func.coalesce(func.max(InviteHostnameRow.position), -1)).where(
        InviteHostnameRow.invite_id == row.invite_id
    )
    last = (await change.session.exec(query)).one()
    await _add_patterns(change, row.invite_id, patterns, last + 1)


async def drop_patterns(change: Write, row: InviteRow, patterns: Sequence[Hostname]) -> None:
    """Take patterns away from an invite."""
    for some in batched(patterns, CHUNK, strict=False):
        await change.session.exec(
            delete(InviteHostnameRow).where(
                col(InviteHostnameRow.invite_id) == row.invite_id,
                col(InviteHostnameRow.pattern).in_(some),
            )
        )


async def revoke(change: Write, row: InviteRow) -> None:
    """Mark an invite as revoked, and its patterns as free."""
    row.status = REVOKED
    row.version += 1
    change.session.add(row)
    await change.session.exec(
        update(InviteHostnameRow)
        .where(col(InviteHostnameRow.invite_id) == row.invite_id)
        .values(active=False)
    )


async def restore(change: Write, row: InviteRow) -> None:
    """Take back that an invite was revoked; it has no patterns."""
    row.status = PENDING
    row.version += 1
    change.session.add(row)
    await change.session.exec(
        delete(InviteHostnameRow).where(col(InviteHostnameRow.invite_id) == row.invite_id)
    )


async def is_removed(session: AsyncSession, tenant_id: bytes) -> bool:
    """Whether a tenant was removed from this hub."""
    return await session.get(RemovalRow, tenant_id) is not None


async def mark_removed(change: Write, tenant_id: bytes, now_ms: int) -> None:
    """Remember that a tenant was removed."""
    await change.session.merge(RemovalRow(tenant_id=tenant_id, removed_at_ms=now_ms))
