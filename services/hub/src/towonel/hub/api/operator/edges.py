"""Endpoints of registered edges, for operators."""

from towonel.api.edges import EdgeItem, EdgeList
from towonel.hub.api.http.auth import Viewer
from towonel.hub.api.http.errors import error_responses
from towonel.hub.api.http.parameters import HexId, LongPage, parse_hex
from towonel.hub.api.http.router import create_router
from towonel.hub.api.presenters.routing import to_edge_item
from towonel.hub.context import HubDep
from towonel.hub.operations.register_edge import active_edge_names
from towonel.hub.store import edges as store
from towonel.wire.errors import Code, Denied

router = create_router("/v1/edges", tags=["edges"])


@router.get("", responses=error_responses(400))
async def list_edges(hub: HubDep, caller: Viewer, paging: LongPage) -> EdgeList:
    """List the edges that registered and may still work, by id, with what they told last."""
    await hub.edge_reports.refresh(hub.now_ms())
    async with hub.store.read() as session:
        names = await active_edge_names(hub, session)
        page = await store.list_page(session, paging, list(names))
    items = [to_edge_item(hub, row, names[row.edge_id]) for row in page.rows]
    return EdgeList(edges=items, next_cursor=page.next_cursor)


@router.get("/{edge_id}", responses=error_responses(400, 404))
async def get_edge(hub: HubDep, caller: Viewer, edge_id: HexId) -> EdgeItem:
    """Show one edge, and what it told last."""
    parsed = parse_hex(edge_id, "edge_id")
    await hub.edge_reports.refresh(hub.now_ms())
    async with hub.store.read() as session:
        names = await active_edge_names(hub, session)
        row = await store.find(session, parsed) if parsed in names else None
    if row is None:
        raise Denied(Code.NOT_FOUND, "no such edge, or its invite is revoked")
    return to_edge_item(hub, row, names[parsed])
