"""Table of an agent's origins: which of them a client is for, and which of an origin's ports."""

from collections.abc import Mapping
from typing import Protocol

from towonel.agent.core.origin_attempts import SocketAddress
from towonel.wire.names import Hostname, ServiceKey, wildcard_of
from towonel.wire.preamble import Preamble


class TabledOrigin(Protocol):
    """Origin, as the table needs it."""

    @property
    def ports(self) -> tuple[int, int] | None:
        """First and last of the ports of a range, of which a client gets the one that it used; None of one port."""
        ...


class OriginTable[O: TabledOrigin]:
    """Table of the environment's origins, by service."""

    def __init__(self, origins: Mapping[ServiceKey, O]) -> None:
        self._origins = origins

    def find(self, preamble: Preamble) -> O | None:
        """Return the origin of a preamble's service, or None if there is none for the name or port it asks for."""
        origin = self._origins.get(preamble.service)
        name = preamble.authority
        if origin is None or not _has_port(origin.ports, preamble.port):
            return None
        if name is None:
            return origin
        pattern = Hostname(preamble.service.name)
        return origin if pattern in {name, wildcard_of(name)} else None


def pick_port(address: SocketAddress, origin: TabledOrigin, preamble: Preamble) -> SocketAddress:
    """Return the address for a client of an origin: of a range, on the port that the client used."""
    port = preamble.port
    if origin.ports is None or port is None:
        return address
    if len(address) == 2:  # noqa: PLR2004 of IPv4
        return address[0], port
    return address[0], port, address[2], address[3]


def _has_port(ports: tuple[int, int] | None, port: int | None) -> bool:
    return ports is None or (port is not None and ports[0] <= port <= ports[1])
