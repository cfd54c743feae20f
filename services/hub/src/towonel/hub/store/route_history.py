"""Queries of the route cache: routes, blocks and edges."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select as select_columns
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from towonel.hub.core.edge_list import hash_list
from towonel.hub.core.route_history import TAGS, Block, RouteChange
from towonel.hub.store import edge_invites
from towonel.hub.store.edges import find_listed
from towonel.hub.store.routes import get_revision
from towonel.hub.store.tables import BlockRow, RevisionRow, RevisionTagRow, RouteRow
from towonel.wire.ids import TenantId
from towonel.wire.names import ServiceKind
from towonel.wire.policy.client_networks import decode_networks
from towonel.wire.routes import Route, TlsMode

ROWS_AT_ONCE = 2_000  # about 5 ms: other tasks wait no longer while the whole table is read
# By value: an enumeration's own lookup takes as long as all the rest of a row.
_KINDS = {kind.value: kind for kind in ServiceKind}
_MODES = {mode.value: mode for mode in TlsMode}


@dataclass(frozen=True, slots=True)
class Head:
    """Everything that is read whole each time, which is all but the routes.

    Args:
        revision: of the last change.
        known_tag: of the revision that the cache has.
        pruned: the revision up to which tombstones were deleted.
        blocks: of all tenants that are blocked, or were recently.
        edges: names of the edges with an active invite, by id.
        edge_list: digest of the edges that agents are told of.
    """

    revision: int
    known_tag: bytes | None
    pruned: int
    blocks: Mapping[TenantId, Block]
    edges: Mapping[bytes, str]
    edge_list: bytes


async def read_head(session: AsyncSession, known: int) -> Head:
    """Return the current head, and the tag of a known revision."""
    revision, pruned = (await session.exec(select(RevisionRow.value, RevisionRow.pruned))).one()
    known_tag = await _find_tag(session, known)
    blocks, edges = await _blocks(session), await edge_invites.find_names(session)
    edge_list = hash_list(await find_listed(session))
    return Head(revision, known_tag, pruned, blocks, edges, edge_list)


async def find_newest(session: AsyncSession) -> tuple[int, bytes | None]:
    """Return the current revision, and its tag if it has one."""
    revision = await get_revision(session)
    return revision, await _find_tag(session, revision)


async def _find_tag(session: AsyncSession, revision: int) -> bytes | None:
    row = await session.get(RevisionTagRow, revision)
    return None if row is None else bytes(row.tag)


async def read_tags(session: AsyncSession, since: int | None) -> dict[int, bytes]:
    """Return the tags of the newest revisions, or of those after one, in their order."""
    query = select(RevisionTagRow.revision, RevisionTagRow.tag)
    if since is not None:
        query = query.where(RevisionTagRow.revision > since)
    newest = query.order_by(col(RevisionTagRow.revision).desc()).limit(TAGS)
    found = (await session.exec(newest)).all()
    return {revision: bytes(tag) for revision, tag in reversed(found)}


async def stream_routes(
    session: AsyncSession, since: int | None, rows_at_once: int = ROWS_AT_ONCE
) -> AsyncGenerator[Sequence[RouteChange]]:
    """Yield the routes that changed since a revision, or all, in the order of their revisions.

    Deleted ones are included: an edge may know them from another replica.
    """
    # Columns, not rows: of a hundred thousand, objects of the mapper would take seconds.
    query = select_columns(
        col(RouteRow.key),
        col(RouteRow.kind),
        col(RouteRow.name),
        col(RouteRow.tenant_id),
        col(RouteRow.port),
        col(RouteRow.tls_mode),
        col(RouteRow.client_networks),
        col(RouteRow.revision),
        col(RouteRow.removed_at_ms),
        col(RouteRow.last_port),
        col(RouteRow.http2),
    ).order_by(col(RouteRow.revision))
    if since is not None:
        query = query.where(col(RouteRow.revision) > since)
    async with (await session.connection()).stream(query) as found:
        async for part in found.partitions(rows_at_once):
            yield [_to_change(row) for row in part]


def _to_change(row: Sequence[Any]) -> RouteChange:
    key, kind, name, tenant, port, mode, networks, revision, removed, last_port, http2 = row
    if removed is not None:
        return key, None, revision
    owner, clients = TenantId(bytes(tenant)), decode_networks(networks)
    route = Route(_KINDS[kind], name, owner, port, _MODES[mode], clients, last_port, http2)
    return key, route, revision


async def _blocks(session: AsyncSession) -> dict[TenantId, Block]:
    query = select(BlockRow.tenant_id, BlockRow.lifted, BlockRow.revision)
    found = (await session.exec(query)).all()
    return {TenantId(bytes(tenant)): Block(lifted, revision) for tenant, lifted, revision in found}
