"""Client of the tenants: read, edit, suspend, resume and remove them."""

from towonel.api.tenants import (
    RemovedOut,
    TenantDetail,
    TenantEdit,
    TenantItem,
    TenantPage,
    TenantStatus,
)
from towonel.client import paths
from towonel.client.transport import HubTransport, Tagged

_TENANTS = "/v1/tenants"


class Tenants:
    """Client of `/v1/tenants`."""

    def __init__(self, hub: HubTransport) -> None:
        self._hub = hub

    async def list(
        self,
        *,
        limit: int | None = None,
        cursor: str | None = None,
        status: TenantStatus | None = None,
        name: str | None = None,
        hostname: str | None = None,
    ) -> TenantPage:
        query = {
            "limit": limit,
            "cursor": cursor,
            "status": status,
            "name": name,
            "hostname": hostname,
        }
        return await self._hub.get(TenantPage, _TENANTS, query)

    async def get(self, tenant_id: bytes) -> Tagged[TenantDetail]:
        return await self._hub.get_with_etag(TenantDetail, paths.by_id(_TENANTS, tenant_id))

    async def update(
        self, tenant_id: bytes, edit: TenantEdit, *, if_match: str | None = None
    ) -> Tagged[TenantDetail]:
        """Change the fields that the edit sets. Denied PRECONDITION_FAILED if it changed since."""
        path = paths.by_id(_TENANTS, tenant_id)
        return await self._hub.edit(TenantDetail, path, edit, if_match=if_match)

    async def suspend(self, tenant_id: bytes) -> TenantItem:
        """Stop serving a tenant for now; it keeps its names, ports and token."""
        path = f"{paths.by_id(_TENANTS, tenant_id)}/suspend"
        return await self._hub.post(TenantItem, path)

    async def resume(self, tenant_id: bytes) -> TenantItem:
        """Serve a suspended tenant again."""
        path = f"{paths.by_id(_TENANTS, tenant_id)}/resume"
        return await self._hub.post(TenantItem, path)

    async def remove(self, tenant_id: bytes) -> RemovedOut:
        """End a tenant for ever; the hub refuses its key even if it never knew it."""
        return await self._hub.delete(RemovedOut, paths.by_id(_TENANTS, tenant_id))
