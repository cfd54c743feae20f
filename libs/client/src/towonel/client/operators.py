"""What an operator asks of the hub: invites for tenants and edges, and what exists."""

import re
from http import HTTPMethod

from towonel.client.exchange import Call, Exchange
from towonel.client.models import (
    EdgeInviteIn,
    EdgeInviteList,
    EdgeInviteOut,
    EdgeList,
    InviteIn,
    InviteList,
    InviteOut,
)
from towonel.wire.errors import Code, Denied

_ID = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)  # base64url: nothing that could change a path


class OperatorCalls(Exchange):
    """Requests with the operator key.

    Each raises Denied (UNAUTHORIZED without the right key, and the hub's refusals), Unavailable
    (HUB_UNAVAILABLE, RATE_LIMITED) or ProtocolError (MALFORMED, TOO_LARGE for answers not ours).
    """

    async def create_invite(self, invite: InviteIn) -> InviteOut:
        """Make a tenant; the answer holds its token, which the hub shows this once."""
        body = invite.model_dump_json(exclude_none=True).encode()
        return await self._json(InviteOut, self._operator(HTTPMethod.POST, "/v1/invites", body))

    async def list_invites(self) -> InviteList:
        return await self._json(InviteList, self._operator(HTTPMethod.GET, "/v1/invites"))

    async def revoke_invite(self, invite_id: str) -> None:
        """End a tenant: its routes and sessions go at once. Denied NOT_FOUND for a second time."""
        path = f"/v1/invites/{_checked(invite_id)}"
        await self._send(self._operator(HTTPMethod.DELETE, path))

    async def create_edge_invite(self, name: str | None = None) -> EdgeInviteOut:
        """Allow another edge; the answer holds its token, which the hub shows this once."""
        body = EdgeInviteIn(name=name).model_dump_json(exclude_none=True).encode()
        call = self._operator(HTTPMethod.POST, "/v1/edge-invites", body)
        return await self._json(EdgeInviteOut, call)

    async def list_edge_invites(self) -> EdgeInviteList:
        return await self._json(EdgeInviteList, self._operator(HTTPMethod.GET, "/v1/edge-invites"))

    async def revoke_edge_invite(self, invite_id: str) -> None:
        path = f"/v1/edge-invites/{_checked(invite_id)}"
        await self._send(self._operator(HTTPMethod.DELETE, path))

    async def edges(self) -> EdgeList:
        return await self._json(EdgeList, self._operator(HTTPMethod.GET, "/v1/edges"))

    def _operator(self, method: HTTPMethod, path: str, body: bytes = b"") -> Call:
        return Call(method, path, body, authorization=self._bearer())


def _checked(invite_id: str) -> str:
    if not _ID.fullmatch(invite_id):
        raise Denied(Code.INVALID_REQUEST, "an invite's id is base64url text, as `list` shows it")
    return invite_id
