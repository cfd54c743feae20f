"""Client of the invites of edges; the answer to `create` holds a token that is shown once."""

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
        return await self._hub.post(
            EdgeInviteOut, _EDGE_INVITES, EdgeInviteIn(name=name), idempotency_key=idempotency_key
        )

    async def list(self, *, limit: int | None = None, cursor: str | None = None) -> EdgeInviteList:
        query = {"limit": limit, "cursor": cursor}
        return await self._hub.get(EdgeInviteList, _EDGE_INVITES, query)

    async def get(self, invite_id: str) -> EdgeInviteItem:
        return await self._hub.get(EdgeInviteItem, paths.by_id(_EDGE_INVITES, invite_id))

    async def revoke(self, invite_id: str) -> RevokedOut:
        """Take an edge out: the hub does not answer it any more, and names it to no agent."""
        return await self._hub.delete(RevokedOut, paths.by_id(_EDGE_INVITES, invite_id))
