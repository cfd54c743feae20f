"""Upstream: the interface between listeners and whatever carries a client to its service.

Today that is a QUIC stream on a session (`session_dialer.py`). Other transports (a lane, a native
data path) implement the same interface and return the same `Pipe`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from towonel.tunnel.pipe import Pipe
from towonel.wire.names import Hostname, ServiceKey
from towonel.wire.proxy import Address
from towonel.wire.routes import Route


@dataclass(frozen=True, slots=True)
class ClientConnection:
    """Client connection: its addresses, its route, and the first bytes it sent."""

    source: Address
    destination: Address
    route: Route
    server_name: Hostname
    first: bytes


class Upstream(Protocol):
    """Opener of pipes to services."""

    def places(self, route: Route) -> Mapping[ServiceKey | None, int]:
        """Return how many pipes there can be at once, open ones included; 0 without an agent.

        That is to the service of the route, and to all services of its tenant (None).
        """
        ...

    async def open(self, client: ClientConnection) -> Pipe:
        """Return a pipe to the service; it has taken `client.first` already.

        Raises:
            TowonelError: NO_AGENT, or why the last try failed.
        """
        ...
