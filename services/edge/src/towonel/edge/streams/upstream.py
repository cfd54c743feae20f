"""Upstream: the interface between clients that control serves and what carries them to their service.

That is a QUIC stream on a session (`session_dialer.py`).
"""

from dataclasses import dataclass
from typing import Protocol

from towonel.edge.core.access_log import AccessRecord
from towonel.tunnel.pipe import Pipe
from towonel.wire.names import Hostname
from towonel.wire.proxy import Address
from towonel.wire.routes import Route


@dataclass(frozen=True, slots=True)
class ClientConnection:
    """Client connection: its addresses, its route, and the first bytes it sent."""

    source: Address
    destination: Address
    route: Route
    server_name: Hostname | None
    first: bytes
    record: AccessRecord | None = None  # for the access log, if it gets a line there
    lanes_silent: bool = False  # lanes of its agent answered nothing
    challenge: str | None = None  # of an authority, by its token: nothing is carried but the answer


class Upstream(Protocol):
    """Opener of pipes to services."""

    async def open(self, client: ClientConnection) -> Pipe:
        """Return a pipe to the service; it has taken `client.first` already.

        Raises:
            TowonelError: NO_AGENT, or why the last try failed.
        """
        ...
