"""What the in-memory directory reads: routes, blocks and edges, changed since a revision."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import select as select_columns
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from towonel.hub.store.rows import PENDING, BlockRow, EdgeInviteRow, RevisionRow, RouteRow
from towonel.wire.ids import TenantId
from towonel.wire.names import ServiceKind
from towonel.wire.routes import Route, TlsMode


@dataclass(frozen=True, slots=True)
class Changed:
    """What a directory has to take in.

    Args:
        revision: that it leads to.
        pruned: up to which revision traces of deletions are gone.
        is_whole: whether it replaces all there was.
        routes: key, route (none for a deleted one) and revision of each, those that are deleted
            included: an edge may have learned of them from another replica.
        blocks: tenant, whether it was lifted, and revision of each; always all of them.
        edges: names of the edges that may work, by id; always all of them.
    """

    revision: int
    pruned: int
    is_whole: bool
    routes: Sequence[tuple[str, Route | None, int]]
    blocks: Sequence[tuple[TenantId, bool, int]]
    edges: Mapping[bytes, str]


async def changed(session: AsyncSession, since: int | None) -> Changed:
    """Return what changed since a revision; everything without one, or with one too old."""
    revision, pruned = (await session.exec(select(RevisionRow.value, RevisionRow.pruned))).one()
    is_whole = since is None or not pruned <= since <= revision
    edges = await session.exec(
        select(EdgeInviteRow.edge_id, EdgeInviteRow.name).where(EdgeInviteRow.status == PENDING)
    )
    return Changed(
        revision,
        pruned,
        is_whole,
        await _routes(session, None if is_whole else since),
        await _blocks(session),
        {bytes(edge_id): name for edge_id, name in edges.all()},
    )


async def _routes(
    session: AsyncSession, since: int | None
) -> Sequence[tuple[str, Route | None, int]]:
    # Columns, not rows: of a hundred thousand, objects of the mapper would take seconds.
    query = select_columns(
        col(RouteRow.key),
        col(RouteRow.kind),
        col(RouteRow.name),
        col(RouteRow.tenant_id),
        col(RouteRow.port),
        col(RouteRow.tls_mode),
        col(RouteRow.revision),
        col(RouteRow.removed_at_ms),
    )
    if since is not None:
        query = query.where(col(RouteRow.revision) > since)
    found = (await (await session.connection()).execute(query)).all()
    kinds = {kind.value: kind for kind in ServiceKind}
    modes = {mode.value: mode for mode in TlsMode}
    return [
        (
            key,
            Route(kinds[kind], name, TenantId(bytes(tenant)), port, modes[mode])
            if removed is None
            else None,
            number,
        )
        for key, kind, name, tenant, port, mode, number, removed in found
    ]


async def _blocks(session: AsyncSession) -> Sequence[tuple[TenantId, bool, int]]:
    query = select(BlockRow.tenant_id, BlockRow.lifted, BlockRow.revision)
    found = (await session.exec(query)).all()
    return [(TenantId(bytes(tenant)), lifted, number) for tenant, lifted, number in found]
