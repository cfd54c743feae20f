"""Repository of publications: the desired state that each group published last, and by which agent."""

from collections.abc import Iterable
from itertools import batched

from sqlmodel import col, delete, func, select
from sqlmodel.ext.asyncio.session import AsyncSession

from towonel.hub.store import agents
from towonel.hub.store.db.transactions import Write
from towonel.hub.store.routes import CHUNK
from towonel.hub.store.tables import AgentRow, PublicationRow, ServiceRow
from towonel.wire.ids import TenantId


async def find(session: AsyncSession, tenant_id: TenantId, group: str) -> PublicationRow | None:
    """Return what a group published last, or None if it published nothing yet."""
    return await session.get(PublicationRow, (tenant_id, group))


async def is_whole(session: AsyncSession, row: PublicationRow) -> bool:
    """Whether a group still has all services that it published last: an edit of its invite takes some."""
    of_group = (ServiceRow.tenant_id == row.tenant_id, ServiceRow.group == row.group)
    count = (await session.exec(select(func.count()).where(*of_group))).one()
    return count == row.services


async def record(
    write: Write,
    tenant_id: TenantId,
    group: str,
    digest: bytes,
    services: int,
    agent_id: bytes | None,
) -> PublicationRow | None:
    """Record what a group publishes now; its number grows if that is something else than before.

    Returns:
        the row; None for a group that never published a service, of which none is kept.
    """
    row = await find(write.session, tenant_id, group)
    if row is None and not services:
        return None
    if row is None:
        await _delete_empty(write.session, tenant_id)
        row = PublicationRow(tenant_id=tenant_id, group=group, number=0, digest=b"", services=0)
    if row.digest != digest:
        row.number += 1
    row.digest, row.services, row.agent_id = digest, services, agent_id
    write.session.add(row)
    if agent_id is not None:
        await agents.mark_published(write.session, agent_id, tenant_id, group, digest)
    return row


async def delete_of_tenant(session: AsyncSession, tenant_id: TenantId) -> None:
    """Delete what all groups of a tenant published."""
    await session.exec(delete(PublicationRow).where(col(PublicationRow.tenant_id) == tenant_id))


async def find_displaced(session: AsyncSession, agents: Iterable[AgentRow]) -> frozenset[bytes]:
    """Return those of some agents that serve something else than their group published last."""
    ids = [row.agent_id for row in agents if row.published_digest is not None]
    newest = (col(PublicationRow.tenant_id) == col(AgentRow.tenant_id)) & (
        col(PublicationRow.group) == col(AgentRow.group)
    )
    query = (
        select(AgentRow.agent_id)
        .join(PublicationRow, newest)
        .where(col(AgentRow.published_digest) != col(PublicationRow.digest))
    )
    found: set[bytes] = set()
    for some in batched(ids, CHUNK, strict=False):
        found.update((await session.exec(query.where(col(AgentRow.agent_id).in_(some)))).all())
    return frozenset(found)


async def _delete_empty(session: AsyncSession, tenant_id: TenantId) -> None:
    """Delete those of groups that have no service: a tenant has no more rows than groups, and one."""
    services = select(ServiceRow.key).where(
        col(ServiceRow.tenant_id) == tenant_id, col(ServiceRow.group) == col(PublicationRow.group)
    )
    is_empty = ~services.exists()
    of_tenant = col(PublicationRow.tenant_id) == tenant_id
    await session.exec(delete(PublicationRow).where(of_tenant, is_empty))
