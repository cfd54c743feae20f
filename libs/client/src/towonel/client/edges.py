"""Client of the edges that are registered."""

from http import HTTPMethod

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
        return await self._hub.fetch(
            EdgeList, self._hub.with_key(HTTPMethod.GET, _EDGES, query=query)
        )

    async def get(self, edge_id: bytes) -> EdgeItem:
        request = self._hub.with_key(HTTPMethod.GET, paths.by_id(_EDGES, edge_id))
        return await self._hub.fetch(EdgeItem, request)
