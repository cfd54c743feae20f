"""Repository of invites; each invite is one tenant."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import batched
from typing import Any

from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import defer
from sqlmodel import col, delete, func, select, update
from sqlmodel.ext.asyncio.session import AsyncSession

from towonel.api.invites import InviteState
from towonel.hub.core.invites import invite_state
from towonel.hub.core.ownership import is_wildcard
from towonel.hub.store import tenants
from towonel.hub.store.db.pagination import Paged, Paging, page
from towonel.hub.store.db.transactions import Write
from towonel.hub.store.routes import CHUNK
from towonel.hub.store.tables import PENDING, REVOKED, InviteHostnameRow, InviteRow
from towonel.wire import base64url
from towonel.wire.errors import Code, Denied
from towonel.wire.ids import TenantId
from towonel.wire.names import Hostname, wildcard_of

MAX_NAMED = 20  # conflicts in one message
NO_SECRET = b""  # the hash of a declared tenant: no secret has it
_PUBLIC_KEY: Any = InviteRow.tenant_public_key  # typed as the value, but a column here


@dataclass(frozen=True, slots=True)
class InviteFilter:
    """Filter of invites; a field that is None is ignored.

    Args:
        status: pending or revoked.
        state: what can still be done with them at `now_ms`.
        now_ms: the time.
        suspended: whether they are not served, by an operator or because their time is over.
        name: part of the name.
        hostname: one of their patterns, exactly.
        tenant_id: of the tenant.
    """

    status: str | None = None
    state: InviteState | None = None
    now_ms: int = 0
    suspended: bool | None = None
    name: str | None = None
    hostname: str | None = None
    tenant_id: bytes | None = None

    def where(self) -> list[Any]:
        """Return the conditions of the query."""
        found: list[Any] = []
        if self.status is not None:
            found.append(InviteRow.status == self.status)
        if self.state is not None:
            found += self._in_state(self.state)
        if self.suspended is not None:
            at_ms = func.coalesce(InviteRow.suspended_at_ms, InviteRow.ended_at_ms)
            found.append(at_ms.is_not(None) if self.suspended else at_ms.is_(None))
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

    def _in_state(self, state: InviteState) -> list[Any]:
        if state == "revoked":
            return [InviteRow.status == REVOKED]
        expires_at_ms = col(InviteRow.expires_at_ms)
        ended_at_ms = col(InviteRow.ended_at_ms)
        if state == "ended":
            return [InviteRow.status == PENDING, ended_at_ms.is_not(None)]
        live: list[Any] = [InviteRow.status == PENDING, ended_at_ms.is_(None)]
        if state == "expired":
            return [*live, expires_at_ms <= self.now_ms]
        live.append(expires_at_ms.is_(None) | (expires_at_ms > self.now_ms))
        used_at_ms = col(InviteRow.used_at_ms)
        return [*live, used_at_ms.is_(None) if state == "pending" else used_at_ms.is_not(None)]


async def name_holders(session: AsyncSession, patterns: Sequence[Hostname], now_ms: int) -> str:
    """Return which active invite has each of these patterns, and how it stands, for a message."""
    query = (
        select(InviteHostnameRow.pattern, InviteRow)
        .join(InviteRow, col(InviteRow.invite_id) == InviteHostnameRow.invite_id)
        .where(InviteHostnameRow.active, col(InviteHostnameRow.pattern).in_(patterns[:MAX_NAMED]))
        .options(defer(_PUBLIC_KEY, raiseload=True))
        .order_by(InviteHostnameRow.pattern)
    )
    named = [
        f"{pattern} (invite {base64url.encode(row.invite_id)}, {row.name!r}, {state_of(row, now_ms)})"
        for pattern, row in (await session.exec(query)).all()
    ]
    more = [f"and {len(patterns) - MAX_NAMED} more"] if len(patterns) > MAX_NAMED else []
    return ", ".join([*named, *more])


def state_of(row: InviteRow, now_ms: int) -> InviteState:
    """Return what can still be done with an invite."""
    return invite_state(
        is_revoked=row.status == REVOKED,
        has_ended=row.ended_at_ms is not None,
        expires_at_ms=row.expires_at_ms,
        used_at_ms=row.used_at_ms,
        now_ms=now_ms,
    )


async def find_owners(
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


async def add_invite(write: Write, row: InviteRow, patterns: Sequence[Hostname]) -> None:
    """Add an invite with its patterns.

    Raises:
        Denied: HOSTNAME_CONFLICT if a concurrent write took one of the patterns.
    """
    write.session.add(row)
    await write.session.flush()
    await _add_patterns(write, row.invite_id, patterns, 0)


async def _add_patterns(
    write: Write, invite_id: bytes, patterns: Sequence[Hostname], first: int
) -> None:
    write.session.add_all(
        InviteHostnameRow(
            invite_id=invite_id,
            pattern=pattern,
            position=position,
            parent=None if is_wildcard(pattern) else wildcard_of(pattern),
        )
        for position, pattern in enumerate(patterns, first)
    )
    try:
        await write.session.flush()
    except IntegrityError as error:
        raise Denied(Code.HOSTNAME_CONFLICT, "a hostname was taken just now") from error


async def find(session: AsyncSession, invite_id: bytes) -> InviteRow | None:
    """Return an invite, revoked or not."""
    return await session.get(InviteRow, invite_id)


async def list_page(
    session: AsyncSession, paging: Paging, matching: InviteFilter | None = None
) -> Paged[InviteRow]:
    """Return a page of invites, the newest first; without the public keys of 2 KB each."""
    query = select(InviteRow).options(defer(_PUBLIC_KEY, raiseload=True))
    if matching is not None:
        query = query.where(*matching.where())
    order = (InviteRow.created_at_ms, InviteRow.invite_id)
    return await page(session, query, paging, order, descending=True)


async def count_by_status(session: AsyncSession) -> Mapping[str, int]:
    """Return how many invites there are of each status."""
    query = select(InviteRow.status, func.count()).group_by(InviteRow.status)
    return dict((await session.exec(query)).all())


async def find_hostnames(
    session: AsyncSession, invite_ids: Sequence[bytes]
) -> Mapping[bytes, list[str]]:
    """Return the patterns of these invites, in their order."""
    query = (
        select(InviteHostnameRow.invite_id, InviteHostnameRow.pattern)
        .where(col(InviteHostnameRow.invite_id).in_(invite_ids))
        .order_by(col(InviteHostnameRow.position))
    )
    found: dict[bytes, list[str]] = {}
    for invite_id, pattern in (await session.exec(query)).all():
        found.setdefault(bytes(invite_id), []).append(pattern)
    return found


async def get_hostnames(session: AsyncSession, invite_id: bytes) -> list[str]:
    """Return the patterns of one invite, in their order."""
    return (await find_hostnames(session, [invite_id])).get(invite_id, [])


async def add_patterns(write: Write, row: InviteRow, patterns: Sequence[Hostname]) -> None:
    """Add patterns to an invite that has none of them.

    Raises:
        Denied: HOSTNAME_CONFLICT if a concurrent write took one of them.
    """
    query = select(func.coalesce(func.max(InviteHostnameRow.position), -1)).where(
        InviteHostnameRow.invite_id == row.invite_id
    )
    last = (await write.session.exec(query)).one()
    await _add_patterns(write, row.invite_id, patterns, last + 1)


async def drop_patterns(write: Write, row: InviteRow, patterns: Sequence[Hostname]) -> None:
    """Delete patterns of an invite."""
    for some in batched(patterns, CHUNK, strict=False):
        await write.session.exec(
            delete(InviteHostnameRow).where(
                col(InviteHostnameRow.invite_id) == row.invite_id,
                col(InviteHostnameRow.pattern).in_(some),
            )
        )


async def revoke(write: Write, row: InviteRow) -> None:
    """Mark an invite as revoked, and its patterns as free."""
    row.status = REVOKED
    await tenants.renew_limits(write, row)
    write.touch(row)
    await write.session.exec(
        update(InviteHostnameRow)
        .where(col(InviteHostnameRow.invite_id) == row.invite_id)
        .values(active=False)
    )


def mark_used(write: Write, row: InviteRow) -> None:
    """Record the first use of an invite."""
    if row.used_at_ms is None:
        row.used_at_ms = write.now_ms
        write.session.add(row)


async def restore(write: Write, row: InviteRow) -> None:
    """Make a revoked invite active again; it then has no patterns."""
    row.status = PENDING
    await tenants.renew_limits(write, row)
    write.touch(row)
    await write.session.exec(
        delete(InviteHostnameRow).where(col(InviteHostnameRow.invite_id) == row.invite_id)
    )
