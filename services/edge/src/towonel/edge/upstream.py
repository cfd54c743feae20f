"""Give me a way to service S for this client: the one seam between listeners and what carries.

Today a way is a QUIC stream on a session (`streams.py`). Whatever comes beside it (a lane, a native
data path) answers the same question with the same `Pipe`.
"""

from dataclasses import dataclass
from typing import Protocol

from towonel.tunnel.pipe import Pipe
from towonel.wire.names import Hostname
from towonel.wire.proxy import Address
from towonel.wire.routes import Route


@dataclass(frozen=True, slots=True)
class ClientConnection:
    """One client, where it wants to go, and the first bytes it said."""

    source: Address
    destination: Address
    route: Route
    server_name: Hostname
    first: bytes


class Upstream(Protocol):
    """Finds a way from a client to a service."""

    async def open(self, visit: ClientConnection) -> Pipe:
        """Return a pipe to the service; it has taken `visit.first` already.

        Raises:
            TowonelError: NO_AGENT, or why the last try failed.
        """
        ...
