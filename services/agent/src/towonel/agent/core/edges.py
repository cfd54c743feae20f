"""Which edges to dial, and which links to leave, as the hub's list changes."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from towonel.wire.ids import EdgeId

REFRESH_S = 60.0


@dataclass(frozen=True, slots=True)
class Edge:
    """An edge that the hub names: who it is, the certificate it shows, where it listens."""

    edge_id: EdgeId
    certificate_pem: str
    certificate_sha256: bytes
    addresses: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class LinkChanges:
    """What to do about a new list."""

    dial: tuple[Edge, ...]
    leave: tuple[EdgeId, ...]


def filter_trusted(edges: Iterable[Edge], allowed: Collection[bytes] | None) -> list[Edge]:
    """Return the edges that may be dialled: all of the hub's, or those of them that are allowed."""
    return [edge for edge in edges if allowed is None or edge.edge_id in allowed]


def plan_links(linked: Mapping[EdgeId, Edge], wanted: Iterable[Edge]) -> LinkChanges:
    """Compare the edges there are links to with those wanted; a changed one is left and dialled."""
    by_id = {edge.edge_id: edge for edge in wanted}
    return LinkChanges(
        dial=tuple(edge for edge_id, edge in by_id.items() if linked.get(edge_id) != edge),
        leave=tuple(edge_id for edge_id, edge in linked.items() if by_id.get(edge_id) != edge),
    )
