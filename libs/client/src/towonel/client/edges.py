"""Client of the edges that are registered."""

from towonel.api.edges import EdgeItem, EdgeList
from towonel.client import paths
from towonel.client.transport import HubTransport

_EDGES = "/v1/edges"


class Edges:
    """Client of `/v1/edges`."""

    def __init__(self, hub: HubTransport) -> None:
        self._hub = hub

    async def list(self, *, limit: int | None = None, cursor: str | None = None) -> EdgeList:
        query = {"limit": limit, "cursor": cursor}
        return await self._hub.get(EdgeList, _EDGES, query)

    async def get(self, edge_id: bytes) -> EdgeItem:
        return await self._hub.get(EdgeItem, paths.by_id(_EDGES, edge_id))
