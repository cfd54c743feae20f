"""Client of the edges that are registered, and of the certificates that they have or want."""

from towonel.api.certificates.items import (
    CertificateDetail,
    CertificatePage,
    CertificateRequestOut,
    RevocationIn,
)
from towonel.api.certificates.reports import CertificateState
from towonel.api.edges import EdgeItem, EdgeList
from towonel.client import paths
from towonel.client.transport import HubTransport

_EDGES = "/v1/edges"
_CERTIFICATES = "/v1/certificates"


class Edges:
    """Client of `/v1/edges`."""

    def __init__(self, hub: HubTransport) -> None:
        self._hub = hub

    async def list(self, *, limit: int | None = None, cursor: str | None = None) -> EdgeList:
        query = {"limit": limit, "cursor": cursor}
        return await self._hub.get(EdgeList, _EDGES, query)

    async def get(self, edge_id: bytes) -> EdgeItem:
        return await self._hub.get(EdgeItem, paths.by_id(_EDGES, edge_id))


class Certificates:
    """Client of `/v1/certificates`: of names whose TLS ends at edges."""

    def __init__(self, hub: HubTransport) -> None:
        self._hub = hub

    async def list(
        self,
        *,
        limit: int | None = None,
        cursor: str | None = None,
        hostname: str | None = None,
        tenant_id: bytes | str | None = None,
        edge_id: bytes | str | None = None,
        state: CertificateState | None = None,
    ) -> CertificatePage:
        query = {
            "limit": limit,
            "cursor": cursor,
            "hostname": hostname,
            "tenant_id": tenant_id,
            "edge_id": edge_id,
            "state": state,
        }
        return await self._hub.get(CertificatePage, _CERTIFICATES, query)

    async def get(self, hostname: str) -> CertificateDetail:
        return await self._hub.get(CertificateDetail, paths.by_hostname(_CERTIFICATES, hostname))

    async def renew(
        self, hostname: str, *, idempotency_key: str | None = None
    ) -> CertificateRequestOut:
        """Have edges order a certificate anew. Denied INVALID_REQUEST where it is of files."""
        path = f"{paths.by_hostname(_CERTIFICATES, hostname)}/renew"
        return await self._hub.post(CertificateRequestOut, path, idempotency_key=idempotency_key)

    async def revoke(
        self,
        hostname: str,
        revocation: RevocationIn | None = None,
        *,
        idempotency_key: str | None = None,
    ) -> CertificateRequestOut:
        """Have edges revoke a certificate. Denied INVALID_REQUEST where none was ordered."""
        path = f"{paths.by_hostname(_CERTIFICATES, hostname)}/revoke"
        return await self._hub.post(
            CertificateRequestOut,
            path,
            revocation or RevocationIn(),
            idempotency_key=idempotency_key,
        )
