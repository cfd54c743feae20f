"""Invites and edge invites in the database."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import batched

from sqlalchemy.exc import IntegrityError
from sqlmodel import col, func, select, update
from sqlmodel.ext.asyncio.session import AsyncSession

from towonel.hub.store.routes import CHUNK, block_tenant
from towonel.hub.store.rows import (
    PENDING,
    REVOKED,
    EdgeInviteRow,
    InviteHostnameRow,
    InviteRow,
)
from towonel.hub.store.session import Change
from towonel.wire.errors import Code, Denied
from towonel.wire.ids import TenantId
from towonel.wire.names import Hostname


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


async def add_invite(change: Change, row: InviteRow, patterns: Sequence[Hostname]) -> None:
    """Add an invite with its patterns.

    Raises:
        Denied: HOSTNAME_CONFLICT where another write took one of the patterns meanwhile.
    """
    change.session.add(row)
    await change.session.flush()
    change.session.add_all(
        InviteHostnameRow(invite_id=row.invite_id, pattern=pattern, position=position)
        for position, pattern in enumerate(patterns)
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


async def invites(session: AsyncSession) -> Sequence[InviteRow]:
    """Return all invites, the newest first."""
    return (
        await session.exec(select(InviteRow).order_by(col(InviteRow.created_at_ms).desc()))
    ).all()


async def count_by_status(session: AsyncSession) -> Mapping[str, int]:
    """Return how many invites there are of each status."""
    query = select(InviteRow.status, func.count()).group_by(InviteRow.status)
    return dict((await session.exec(query)).all())


async def hostnames(session: AsyncSession) -> Mapping[bytes, list[str]]:
    """Return the patterns of every invite, in the order they were given."""
    query = select(InviteHostnameRow).order_by(
        col(InviteHostnameRow.invite_id), col(InviteHostnameRow.position)
    )
    found: dict[bytes, list[str]] = {}
    for row in (await session.exec(query)).all():
        found.setdefault(row.invite_id, []).append(row.pattern)
    return found


async def hostnames_of(session: AsyncSession, invite_id: bytes) -> list[str]:
    """Return the patterns of one invite, in the order they were given."""
    query = (
        select(InviteHostnameRow.pattern)
        .where(InviteHostnameRow.invite_id == invite_id)
        .order_by(col(InviteHostnameRow.position))
    )
    return list((await session.exec(query)).all())


async def revoke_invite(change: Change, invite_id: bytes, now_ms: int) -> None:
    """Revoke an invite: its patterns are free, its tenant's routes gone and its grants void.

    Raises:
        Denied: NOT_FOUND where there is none that is not revoked.
    """
    row = await invite(change.session, invite_id)
    if row is None or row.status == REVOKED:
        raise Denied(Code.NOT_FOUND, "no such invite, or it is revoked already")
    row.status = REVOKED
    await change.session.exec(
        update(InviteHostnameRow)
        .where(col(InviteHostnameRow.invite_id) == invite_id)
        .values(active=False)
    )
    await block_tenant(change, TenantId(row.tenant_id), now_ms)


async def add_edge_invite(change: Change, row: EdgeInviteRow) -> None:
    """Add an edge invite."""
    change.session.add(row)
    await change.session.flush()


async def edge_invites(session: AsyncSession) -> Sequence[EdgeInviteRow]:
    """Return all edge invites, the newest first."""
    query = select(EdgeInviteRow).order_by(col(EdgeInviteRow.created_at_ms).desc())
    return (await session.exec(query)).all()


async def edge_names(session: AsyncSession) -> Mapping[bytes, str]:
    """Return the names of the edges that may register, by id."""
    query = select(EdgeInviteRow).where(EdgeInviteRow.status == PENDING)
    return {row.edge_id: row.name for row in (await session.exec(query)).all()}


async def may_register(session: AsyncSession, edge_id: bytes) -> bool:
    """Whether an edge has an invite that is not revoked."""
    query = select(EdgeInviteRow.invite_id).where(
        EdgeInviteRow.edge_id == edge_id, EdgeInviteRow.status == PENDING
    )
    return (await session.exec(query)).first() is not None


async def revoke_edge_invite(change: Change, invite_id: bytes) -> None:
    """Revoke an edge invite.

    Raises:
        Denied: NOT_FOUND where there is none that is not revoked.
    """
    row = await change.session.get(EdgeInviteRow, invite_id)
    if row is None or row.status == REVOKED:
        raise Denied(Code.NOT_FOUND, "no such edge invite, or it is revoked already")
    row.status = REVOKED
