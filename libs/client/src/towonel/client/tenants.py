"""Tenants: how they stand, and how they rest, come back or end."""

from http import HTTPMethod

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


class TenantCalls(HubTransport):
    """Tenants, with the operator key or an API key; ids in hexadecimal, errors as in `HubClient`."""

    async def list_tenants(
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
        return await self._json(TenantPage, self._with_key(HTTPMethod.GET, _TENANTS, query=query))

    async def get_tenant(self, tenant_id: str) -> Tagged[TenantDetail]:
        call = self._with_key(HTTPMethod.GET, paths.by_id(_TENANTS, tenant_id))
        return await self._with_etag(TenantDetail, call)

    async def update_tenant(
        self, tenant_id: str, edit: TenantEdit, *, if_match: str | None = None
    ) -> Tagged[TenantDetail]:
        """Change the fields that the edit sets. Denied PRECONDITION_FAILED if it changed since."""
        call = self._with_key(
            HTTPMethod.PATCH,
            paths.by_id(_TENANTS, tenant_id),
            edit.model_dump_json(exclude_unset=True).encode(),
            also={"if-match": if_match},
        )
        return await self._with_etag(TenantDetail, call)

    async def suspend_tenant(self, tenant_id: str) -> TenantItem:
        """Serve a tenant no more for now; it keeps its names, ports and token."""
        path = f"{paths.by_id(_TENANTS, tenant_id)}/suspend"
        return await self._json(TenantItem, self._with_key(HTTPMethod.POST, path))

    async def resume_tenant(self, tenant_id: str) -> TenantItem:
        """Serve a suspended tenant again."""
        path = f"{paths.by_id(_TENANTS, tenant_id)}/resume"
        return await self._json(TenantItem, self._with_key(HTTPMethod.POST, path))

    async def remove_tenant(self, tenant_id: str) -> RemovedOut:
        """End a tenant for ever; the hub refuses its key even if it never knew it."""
        call = self._with_key(HTTPMethod.DELETE, paths.by_id(_TENANTS, tenant_id))
        return await self._json(RemovedOut, call)
