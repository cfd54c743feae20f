"""Client of the routes: public names and ports."""

from towonel.api.services import RouteItem, RoutePage
from towonel.client import paths
from towonel.client.transport import HubTransport

_ROUTES = "/v1/routes"


class Routes:
    """Client of `/v1/routes`; a key is `https:app.example.eu` or `tcp:2222`."""

    def __init__(self, hub: HubTransport) -> None:
        self._hub = hub

    async def list(
        self,
        *,
        limit: int | None = None,
        cursor: str | None = None,
        tenant_id: bytes | str | None = None,
        kind: str | None = None,
    ) -> RoutePage:
        query = {"limit": limit, "cursor": cursor, "tenant_id": tenant_id, "kind": kind}
        return await self._hub.get(RoutePage, _ROUTES, query)

    async def get(self, key: str) -> RouteItem:
        return await self._hub.get(RouteItem, paths.by_key(_ROUTES, key))
