"""What is published, and who serves it: services, routes, agents and edges."""

from http import HTTPMethod

from towonel.api.agents import AgentItem, AgentPage
from towonel.api.edges import EdgeItem, EdgeList
from towonel.api.services import RouteItem, RoutePage, ServiceDetail, ServicePage
from towonel.client import paths
from towonel.client.transport import HubTransport

_SERVICES, _ROUTES, _AGENTS, _EDGES = "/v1/services", "/v1/routes", "/v1/agents", "/v1/edges"


class PublicationCalls(HubTransport):
    """Reads with the operator key or an API key; ids in hexadecimal, errors as in `HubClient`.

    A key is a route's: `https:app.example.eu`, `tcp:2222`.
    """

    async def list_services(
        self,
        *,
        limit: int | None = None,
        cursor: str | None = None,
        tenant_id: str | None = None,
        group: str | None = None,
        kind: str | None = None,
    ) -> ServicePage:
        query = {
            "limit": limit,
            "cursor": cursor,
            "tenant_id": tenant_id,
            "group": group,
            "kind": kind,
        }
        return await self._json(ServicePage, self._with_key(HTTPMethod.GET, _SERVICES, query=query))

    async def get_service(self, key: str) -> ServiceDetail:
        call = self._with_key(HTTPMethod.GET, paths.by_key(_SERVICES, key))
        return await self._json(ServiceDetail, call)

    async def list_routes(
        self,
        *,
        limit: int | None = None,
        cursor: str | None = None,
        tenant_id: str | None = None,
        kind: str | None = None,
    ) -> RoutePage:
        query = {"limit": limit, "cursor": cursor, "tenant_id": tenant_id, "kind": kind}
        return await self._json(RoutePage, self._with_key(HTTPMethod.GET, _ROUTES, query=query))

    async def get_route(self, key: str) -> RouteItem:
        call = self._with_key(HTTPMethod.GET, paths.by_key(_ROUTES, key))
        return await self._json(RouteItem, call)

    async def list_agents(
        self,
        *,
        limit: int | None = None,
        cursor: str | None = None,
        tenant_id: str | None = None,
        group: str | None = None,
        live: bool | None = None,
    ) -> AgentPage:
        """List agents; with `live`, only those that an edge has a session with, or has not."""
        query = {
            "limit": limit,
            "cursor": cursor,
            "tenant_id": tenant_id,
            "group": group,
            "live": live,
        }
        return await self._json(AgentPage, self._with_key(HTTPMethod.GET, _AGENTS, query=query))

    async def get_agent(self, agent_id: str) -> AgentItem:
        call = self._with_key(HTTPMethod.GET, paths.by_id(_AGENTS, agent_id))
        return await self._json(AgentItem, call)

    async def list_edges(self, *, limit: int | None = None, cursor: str | None = None) -> EdgeList:
        query = {"limit": limit, "cursor": cursor}
        return await self._json(EdgeList, self._with_key(HTTPMethod.GET, _EDGES, query=query))

    async def get_edge(self, edge_id: str) -> EdgeItem:
        call = self._with_key(HTTPMethod.GET, paths.by_id(_EDGES, edge_id))
        return await self._json(EdgeItem, call)
