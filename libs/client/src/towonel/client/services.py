"""Client of the published services."""

from towonel.api.services import ServiceDetail, ServicePage
from towonel.client import paths
from towonel.client.transport import HubTransport

_SERVICES = "/v1/services"


class Services:
    """Client of `/v1/services`; a key is a route's: `https:app.example.eu`, `tcp:2222`."""

    def __init__(self, hub: HubTransport) -> None:
        self._hub = hub

    async def list(
        self,
        *,
        limit: int | None = None,
        cursor: str | None = None,
        tenant_id: bytes | str | None = None,
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
        return await self._hub.get(ServicePage, _SERVICES, query)

    async def get(self, key: str) -> ServiceDetail:
        return await self._hub.get(ServiceDetail, paths.by_key(_SERVICES, key))
