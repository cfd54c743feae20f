"""Client of the invites of tenants; the answer to `create` holds a token that is shown once."""

from http import HTTPMethod

from towonel.api.invites import (
    HostnamesIn,
    HostnamesOut,
    InviteDetail,
    InviteEdit,
    InviteIn,
    InviteList,
    InviteOut,
    RevokedOut,
)
from towonel.client import paths
from towonel.client.transport import HubTransport, Tagged

_INVITES = "/v1/invites"


class Invites:
    """Client of `/v1/invites`: invites of tenants."""

    def __init__(self, hub: HubTransport) -> None:
        self._hub = hub

    async def create(self, invite: InviteIn, *, idempotency_key: str | None = None) -> InviteOut:
        """Make a tenant. Denied HOSTNAME_CONFLICT with every name that is another's."""
        request = self._hub.with_key(
            HTTPMethod.POST,
            _INVITES,
            invite.model_dump_json(exclude_none=True).encode(),
            extra_headers={"idempotency-key": idempotency_key},
        )
        return await self._hub.fetch(InviteOut, request)

    async def list(
        self,
        *,
        limit: int | None = None,
        cursor: str | None = None,
        status: str | None = None,
        name: str | None = None,
        hostname: str | None = None,
    ) -> InviteList:
        """List invites, a thousand unless `limit` says fewer; ProtocolError TOO_LARGE above 64 MiB."""
        query = {
            "limit": limit,
            "cursor": cursor,
            "status": status,
            "name": name,
            "hostname": hostname,
        }
        return await self._hub.get(InviteList, _INVITES, query)

    async def get(self, invite_id: str) -> Tagged[InviteDetail]:
        return await self._hub.get_with_etag(InviteDetail, paths.by_id(_INVITES, invite_id))

    async def update(
        self, invite_id: str, edit: InviteEdit, *, if_match: str | None = None
    ) -> Tagged[InviteDetail]:
        """Change the fields that the edit sets. Denied PRECONDITION_FAILED if it changed since."""
        request = self._hub.with_key(
            HTTPMethod.PATCH,
            paths.by_id(_INVITES, invite_id),
            edit.model_dump_json(exclude_unset=True).encode(),
            extra_headers={"if-match": if_match},
        )
        return await self._hub.fetch_with_etag(InviteDetail, request)

    async def revoke(self, invite_id: str) -> RevokedOut:
        """End a tenant: its routes and sessions go at once. Denied NOT_FOUND for a second time."""
        request = self._hub.with_key(HTTPMethod.DELETE, paths.by_id(_INVITES, invite_id))
        return await self._hub.fetch(RevokedOut, request)

    async def add_hostnames(self, invite_id: str, added: HostnamesIn) -> HostnamesOut:
        """Let a tenant have more names. Denied HOSTNAME_CONFLICT or QUOTA_EXCEEDED."""
        path = f"{paths.by_id(_INVITES, invite_id)}/hostnames"
        request = self._hub.with_key(HTTPMethod.POST, path, added.model_dump_json().encode())
        return await self._hub.fetch(HostnamesOut, request)

    async def remove_hostname(self, invite_id: str, hostname: str) -> HostnamesOut:
        """Take a name away; what was published under it ends at once."""
        path = paths.by_hostname(f"{paths.by_id(_INVITES, invite_id)}/hostnames", hostname)
        return await self._hub.fetch(HostnamesOut, self._hub.with_key(HTTPMethod.DELETE, path))
