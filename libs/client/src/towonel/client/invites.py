"""Invites, for tenants and for edges: each answer to `create` holds a token that is shown once."""

from http import HTTPMethod

from towonel.api.edge_invites import EdgeInviteIn, EdgeInviteItem, EdgeInviteList, EdgeInviteOut
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

_INVITES, _EDGE_INVITES = "/v1/invites", "/v1/edge-invites"


class InviteCalls(HubTransport):
    """Invites of tenants, with the operator key or an API key; errors as in `HubClient`."""

    async def create_invite(
        self, invite: InviteIn, *, idempotency_key: str | None = None
    ) -> InviteOut:
        """Make a tenant. Denied HOSTNAME_CONFLICT with every name that is another's."""
        call = self._with_key(
            HTTPMethod.POST,
            _INVITES,
            invite.model_dump_json(exclude_none=True).encode(),
            also={"idempotency-key": idempotency_key},
        )
        return await self._json(InviteOut, call)

    async def list_invites(
        self,
        *,
        limit: int | None = None,
        cursor: str | None = None,
        status: str | None = None,
        name: str | None = None,
        hostname: str | None = None,
    ) -> InviteList:
        """A thousand unless fewer are asked for; ProtocolError TOO_LARGE above 64 MiB of names."""
        query = {
            "limit": limit,
            "cursor": cursor,
            "status": status,
            "name": name,
            "hostname": hostname,
        }
        return await self._json(InviteList, self._with_key(HTTPMethod.GET, _INVITES, query=query))

    async def get_invite(self, invite_id: str) -> Tagged[InviteDetail]:
        call = self._with_key(HTTPMethod.GET, paths.by_id(_INVITES, invite_id))
        return await self._with_etag(InviteDetail, call)

    async def update_invite(
        self, invite_id: str, edit: InviteEdit, *, if_match: str | None = None
    ) -> Tagged[InviteDetail]:
        """Change the fields that the edit sets. Denied PRECONDITION_FAILED if it changed since."""
        call = self._with_key(
            HTTPMethod.PATCH,
            paths.by_id(_INVITES, invite_id),
            edit.model_dump_json(exclude_unset=True).encode(),
            also={"if-match": if_match},
        )
        return await self._with_etag(InviteDetail, call)

    async def revoke_invite(self, invite_id: str) -> RevokedOut:
        """End a tenant: its routes and sessions go at once. Denied NOT_FOUND for a second time."""
        call = self._with_key(HTTPMethod.DELETE, paths.by_id(_INVITES, invite_id))
        return await self._json(RevokedOut, call)

    async def add_invite_hostnames(self, invite_id: str, added: HostnamesIn) -> HostnamesOut:
        """Let a tenant have more names. Denied HOSTNAME_CONFLICT or QUOTA_EXCEEDED."""
        path = f"{paths.by_id(_INVITES, invite_id)}/hostnames"
        call = self._with_key(HTTPMethod.POST, path, added.model_dump_json().encode())
        return await self._json(HostnamesOut, call)

    async def remove_invite_hostname(self, invite_id: str, hostname: str) -> HostnamesOut:
        """Take a name away; what was published under it ends at once."""
        path = paths.by_hostname(f"{paths.by_id(_INVITES, invite_id)}/hostnames", hostname)
        return await self._json(HostnamesOut, self._with_key(HTTPMethod.DELETE, path))


class EdgeInviteCalls(HubTransport):
    """Invites of edges, with the operator key or an API key; errors as in `HubClient`."""

    async def create_edge_invite(
        self, name: str | None = None, *, idempotency_key: str | None = None
    ) -> EdgeInviteOut:
        """Allow another edge; without a name the hub makes one up."""
        call = self._with_key(
            HTTPMethod.POST,
            _EDGE_INVITES,
            EdgeInviteIn(name=name).model_dump_json(exclude_none=True).encode(),
            also={"idempotency-key": idempotency_key},
        )
        return await self._json(EdgeInviteOut, call)

    async def list_edge_invites(
        self, *, limit: int | None = None, cursor: str | None = None
    ) -> EdgeInviteList:
        query = {"limit": limit, "cursor": cursor}
        call = self._with_key(HTTPMethod.GET, _EDGE_INVITES, query=query)
        return await self._json(EdgeInviteList, call)

    async def get_edge_invite(self, invite_id: str) -> EdgeInviteItem:
        call = self._with_key(HTTPMethod.GET, paths.by_id(_EDGE_INVITES, invite_id))
        return await self._json(EdgeInviteItem, call)

    async def revoke_edge_invite(self, invite_id: str) -> RevokedOut:
        """Take an edge out: the hub answers it no more, and names it to no agent."""
        call = self._with_key(HTTPMethod.DELETE, paths.by_id(_EDGE_INVITES, invite_id))
        return await self._json(RevokedOut, call)
