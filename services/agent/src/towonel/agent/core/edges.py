"""Edges to link to: which to dial and which to leave when the hub's list changes."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address

from towonel.tunnel.core.handshake import EdgeIdentity
from towonel.wire.addresses import EDGE_SERVER_NAME, format_address
from towonel.wire.errors import ProtocolError
from towonel.wire.ids import EdgeId
from towonel.wire.names import parse_server_name


@dataclass(frozen=True, slots=True)
class Edge:
    """Edge as the hub names it: its identity, and where it listens.

    A link goes on when the name or the region becomes another one.
    """

    identity: EdgeIdentity
    addresses: tuple[tuple[str, int], ...]
    name: str | None = field(default=None, compare=False)
    region: str | None = field(default=None, compare=False)

    @property
    def edge_id(self) -> EdgeId:
        return self.identity.edge_id

    @property
    def server_name(self) -> str:
        """Name that TLS on TCP asks for: the first one that it advertises, as a client's would be.

        Nothing depends on it but who looks on: an edge is known by its certificate.
        """
        return next(filter(_is_server_name, (host for host, _ in self.addresses)), EDGE_SERVER_NAME)

    @property
    def advertised(self) -> str:
        """Where it listens, for people to read."""
        return ", ".join(format_address(host, port) for host, port in self.addresses)

    @property
    def facts(self) -> dict[str, str]:
        """What a line of the log says of it."""
        return {"edge_id": self.edge_id.hex(), "address": self.advertised}


@dataclass(frozen=True, slots=True)
class LinkChanges:
    """Links to make and to end."""

    dial: tuple[Edge, ...]
    leave: tuple[EdgeId, ...]


@dataclass(frozen=True, slots=True)
class EdgeChoice:
    """Choice of an agent among the edges that its hub names: all of them, unless something is set.

    Args:
        trusted: ids of all that may be dialled, whatever else is chosen; None trusts all of the hub's.
        names: of edges, or their ids in hexadecimal.
        regions: of edges; one is chosen that has a name of `names` or is in one of these.
    """

    trusted: Collection[bytes] | None = None
    names: frozenset[str] = frozenset()
    regions: frozenset[str] = frozenset()

    def choose(self, edges: Iterable[Edge]) -> list[Edge]:
        """Return the edges to dial."""
        return [edge for edge in edges if self._is_trusted(edge) and self._is_chosen(edge)]

    def _is_trusted(self, edge: Edge) -> bool:
        return self.trusted is None or edge.edge_id in self.trusted

    def _is_chosen(self, edge: Edge) -> bool:
        if not self.names and not self.regions:
            return True
        is_named = not self.names.isdisjoint((edge.name, edge.edge_id.hex()))
        return is_named or edge.region in self.regions


def plan_links(linked: Mapping[EdgeId, Edge], wanted: Iterable[Edge]) -> LinkChanges:
    """Compare the edges there are links to with those wanted; a changed one is left and dialled."""
    by_id = {edge.edge_id: edge for edge in wanted}
    return LinkChanges(
        dial=tuple(edge for edge_id, edge in by_id.items() if linked.get(edge_id) != edge),
        leave=tuple(edge_id for edge_id, edge in linked.items() if by_id.get(edge_id) != edge),
    )


def _is_server_name(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        pass
    else:
        return False
    try:
        parse_server_name(host)
    except ProtocolError:
        return False
    return True
