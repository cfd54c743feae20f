"""Requests to the example hub: ids that exist there, and signatures that hold."""

from itertools import count
from typing import override

from requests import PreparedRequest
from requests.auth import AuthBase
from support.example_hub import INVITE_ID, KEY_ID, NODE, TENANT
from support.hub import OPERATOR_KEY, Clock

from towonel.identity.signatures import Domain, authorize_node, authorize_tenant
from towonel.wire import base64url

# Who signs which operation; all others take a key.
DOMAINS = {
    "bootstrap": Domain.AGENT_BOOTSTRAP,
    "refresh": Domain.AGENT_REFRESH,
    "leave": Domain.AGENT_LEAVE,
    "heartbeat": Domain.AGENT_HEARTBEAT,
    "register_edge": Domain.EDGE_REGISTER,
    "report_edge": Domain.EDGE_REPORT,
    "follow_routes": Domain.EDGE_SUBSCRIBE,
    "subscribe_routes": Domain.EDGE_SUBSCRIBE,
    "apply_desired_state": Domain.DESIRED_STATE,
}
NOW_MS = Clock().now_ms
IDS = {
    "invite_id": base64url.encode(INVITE_ID),
    "reservation_id": base64url.encode(INVITE_ID),
    "key_id": base64url.encode(KEY_ID),
    "tenant_id": TENANT.tenant_id.hex(),
    "agent_id": NODE.public.hex(),
    "edge_id": NODE.public.hex(),
    "key": "tcp:2222",
    "hostname": "app.example.eu",
}


class Authorization(AuthBase):
    """Signs a request as its operation wants; any other carries the operator key."""

    _stamps = count(NOW_MS + 1_000)

    def __init__(self, operation: str) -> None:
        self._domain = DOMAINS.get(operation)

    @override
    def __call__(self, request: PreparedRequest) -> PreparedRequest:
        request.headers["authorization"] = self._header(_body(request))
        return request

    def _header(self, body: bytes) -> str:
        if self._domain is None:
            return f"Bearer {OPERATOR_KEY}"
        if self._domain is Domain.DESIRED_STATE:
            return authorize_tenant(TENANT, self._domain, body, next(self._stamps))
        return authorize_node(NODE, self._domain, body, next(self._stamps))


def _body(request: PreparedRequest) -> bytes:
    body = request.body or b""
    assert isinstance(body, bytes | str), "nothing is streamed here"
    return body.encode() if isinstance(body, str) else body
