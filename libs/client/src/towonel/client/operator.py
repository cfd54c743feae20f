"""Operators' client of the hub's REST API, their operations grouped by resource.

What agents, edges and tenants sign with keys of their own is in `HubClient`: operators do not wait
for the cryptography to be imported.
"""

import time
from collections.abc import Callable
from http import HTTPMethod
from typing import Self

import httpx

from towonel.api.health import HealthOut
from towonel.client.agents import Agents
from towonel.client.audit import Audit
from towonel.client.edge_invites import EdgeInvites
from towonel.client.edges import Certificates, Edges
from towonel.client.invites import Invites
from towonel.client.keys import Keys
from towonel.client.ports import Ports
from towonel.client.request import HubRequest
from towonel.client.routes import Routes
from towonel.client.services import Services
from towonel.client.tenants import Tenants
from towonel.client.transport import SILENCE_S, HubTransport


class OperatorClient:
    """Client of one hub. Make one per hub and keep it: connections are reused; `async with` closes.

    Each method raises Denied with the hub's code when refused, Unavailable (HUB_UNAVAILABLE,
    RATE_LIMITED with `retry_after_s`) when it may be asked again, and ProtocolError (MALFORMED,
    TOO_LARGE) for an answer that is not a hub's.

    Args:
        base_url: the hub's address, `https://host[:port][/path]`.
        operator_key: the operator key or an API key, which authorizes operators' operations.
        allow_insecure: accept `http://` for hosts other than this one.
        silence_s: how long a stream of the hub may be silent.
        transport: replaces the network, for tests.
        now_ms: wall clock in milliseconds since 1970.

    Raises:
        Denied: INVALID_REQUEST for an address that is not usable or not safe.
    """

    def __init__(
        self,
        base_url: str,
        *,
        operator_key: str | None = None,
        allow_insecure: bool = False,
        silence_s: float = SILENCE_S,
        transport: httpx.AsyncBaseTransport | None = None,
        now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        self._transport = HubTransport(
            base_url,
            operator_key,
            now_ms,
            allow_insecure=allow_insecure,
            silence_s=silence_s,
            transport=transport,
        )
        self.invites = Invites(self._transport)
        self.edge_invites = EdgeInvites(self._transport)
        self.tenants = Tenants(self._transport)
        self.services = Services(self._transport)
        self.routes = Routes(self._transport)
        self.agents = Agents(self._transport)
        self.edges = Edges(self._transport)
        self.certificates = Certificates(self._transport)
        self.ports = Ports(self._transport)
        self.keys = Keys(self._transport)
        self.audit = Audit(self._transport)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections; requests in flight fail."""
        await self._transport.aclose()

    @property
    def base_url(self) -> str:
        """Address of the hub, without a slash at the end."""
        return self._transport.base_url

    def observe_skew(self, observe: Callable[[int], None]) -> None:
        """Have `observe` called with how far our clock is ahead of the hub's, in ms, where an answer tells it.

        Answers that refuse tell it, too, as where the clock is so wrong that the hub takes no request.
        """
        self._transport.observe_skew = observe

    @property
    def has_key(self) -> bool:
        """Whether operators' operations can be called."""
        return self._transport.has_key

    async def health(self) -> HealthOut:
        """Return that the hub is up, and its id and version."""
        return await self._transport.fetch(HealthOut, HubRequest(HTTPMethod.GET, "/v1/health"))
