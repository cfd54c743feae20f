"""Client of the agents that the hub knows."""

from towonel.api.agents import AgentItem, AgentPage
from towonel.client import paths
from towonel.client.transport import HubTransport

_AGENTS = "/v1/agents"


class Agents:
    """Client of `/v1/agents`."""

    def __init__(self, hub: HubTransport) -> None:
        self._hub = hub

    async def list(
        self,
        *,
        limit: int | None = None,
        cursor: str | None = None,
        tenant_id: bytes | str | None = None,
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
        return await self._hub.get(AgentPage, _AGENTS, query)

    async def get(self, agent_id: bytes) -> AgentItem:
        return await self._hub.get(AgentItem, paths.by_id(_AGENTS, agent_id))
