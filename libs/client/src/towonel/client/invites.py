"""Client of the invites of tenants; the answer to `create` holds a token that is shown once."""

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
        return await self._hub.post(InviteOut, _INVITES, invite, idempotency_key=idempotency_key)

    async def list(
        self,
        *,
        limit: int | None = None,
        cursor: str | None = None,
        status: str | None = None,
        state: str | None = None,
        name: str | None = None,
        hostname: str | None = None,
    ) -> InviteList:
        """List invites, a thousand unless `limit` says fewer; ProtocolError TOO_LARGE above 64 MiB."""
        query = {
            "limit": limit,
            "cursor": cursor,
            "status": status,
            "state": state,
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
        path = paths.by_id(_INVITES, invite_id)
        return await self._hub.edit(InviteDetail, path, edit, if_match=if_match)

    async def revoke(self, invite_id: str) -> RevokedOut:
        """End a tenant: its routes and sessions go at once. Denied NOT_FOUND for a second time."""
        return await self._hub.delete(RevokedOut, paths.by_id(_INVITES, invite_id))

    async def add_hostnames(self, invite_id: str, added: HostnamesIn) -> HostnamesOut:
        """Let a tenant have more names. Denied HOSTNAME_CONFLICT or QUOTA_EXCEEDED."""
        path = f"{paths.by_id(_INVITES, invite_id)}/hostnames"
        return await self._hub.post(HostnamesOut, path, added)

    async def remove_hostname(self, invite_id: str, hostname: str) -> HostnamesOut:
        """Take a name away; what was published under it ends at once."""
        path = paths.by_hostname(f"{paths.by_id(_INVITES, invite_id)}/hostnames", hostname)
        return await self._hub.delete(HostnamesOut, path)
