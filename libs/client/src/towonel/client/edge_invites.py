"""Client of the invites of edges; the answer to `create` holds a token that is shown once."""

from http import HTTPMethod

from towonel.api.edge_invites import EdgeInviteIn, EdgeInviteItem, EdgeInviteList, EdgeInviteOut
from towonel.api.invites import RevokedOut
from towonel.client import paths
from towonel.client.transport import HubTransport

_EDGE_INVITES = "/v1/edge-invites"


class EdgeInvites:
    """Client of `/v1/edge-invites`: invites of edges."""

    def __init__(self, hub: HubTransport) -> None:
        self._hub = hub

    async def create(
        self, name: str | None = None, *, idempotency_key: str | None = None
    ) -> EdgeInviteOut:
        """Allow another edge; without a name the hub makes one up."""
        request = self._hub.with_key(
            HTTPMethod.POST,
            _EDGE_INVITES,
            EdgeInviteIn(name=name).model_dump_json(exclude_none=True).encode(),
            extra_headers={"idempotency-key": idempotency_key},
        )
        return await self._hub.fetch(EdgeInviteOut, request)

    async def list(self, *, limit: int | None = None, cursor: str | None = None) -> EdgeInviteList:
        query = {"limit": limit, "cursor": cursor}
        return await self._hub.get(EdgeInviteList, _EDGE_INVITES, query)

    async def get(self, invite_id: str) -> EdgeInviteItem:
        return await self._hub.get(EdgeInviteItem, paths.by_id(_EDGE_INVITES, invite_id))

    async def revoke(self, invite_id: str) -> RevokedOut:
        """Take an edge out: the hub does not answer it any more, and names it to no agent."""
        request = self._hub.with_key(HTTPMethod.DELETE, paths.by_id(_EDGE_INVITES, invite_id))
        return await self._hub.fetch(RevokedOut, request)
