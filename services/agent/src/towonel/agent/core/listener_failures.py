"""Rules of listeners that fail: edges that cannot listen on the public port of a service, and what is said of it."""

from collections.abc import Collection, Container, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

MAX_NAMED: Final = 3  # in one reason
_ID_CHARS: Final = 12  # of an edge, in a reason


@dataclass(frozen=True, slots=True)
class ListenerFailure:
    """Failure of one edge to listen on the port of a route, or on ports of its range.

    Args:
        route_key: `tcp:2222`.
        edge_id: of the edge.
        code: the word of the code.
        detail: what the edge says.
        ports: of a range, where it does not fail on all of them: `27016, 27018-27020`.
    """

    route_key: str
    edge_id: bytes
    code: str
    detail: str
    ports: str = ""

    @property
    def place(self) -> tuple[str, bytes]:
        """What fails, however it does."""
        return self.route_key, self.edge_id


@dataclass(frozen=True, slots=True)
class ListenerChanges:
    """Changes of what fails: listeners that do now, or in another way, and those that are restored."""

    failed: tuple[ListenerFailure, ...]
    restored: tuple[ListenerFailure, ...]


def compare_failures(
    before: Collection[ListenerFailure], after: Collection[ListenerFailure], routes: Container[str]
) -> ListenerChanges:
    """Return what has changed; a listener whose route is not among `routes` any more is not restored.

    Of a range of which other ports fail than before, all that do are named again.
    """
    known = {(each.place, each.code, each.ports) for each in before}
    places = {each.place for each in after}
    return ListenerChanges(
        failed=tuple(each for each in after if (each.place, each.code, each.ports) not in known),
        restored=tuple(
            each for each in before if each.place not in places and each.route_key in routes
        ),
    )


def explain_failures(
    failures: Collection[ListenerFailure], services: Mapping[str, str]
) -> str | None:
    """Return what does not work, for a person to read; None if nothing fails.

    Args:
        failures: those of now.
        services: service keys by route key, of all of them.
    """
    if not failures:
        return None
    named = "; ".join(_explain(failures, services))
    rest = len(failures) - MAX_NAMED
    return named + (f"; and {rest} more" if rest > 0 else "")


def _explain(failures: Collection[ListenerFailure], services: Mapping[str, str]) -> Iterator[str]:
    for failure in sorted(failures, key=lambda each: each.place)[:MAX_NAMED]:
        port, edge = failure.route_key.rpartition(":")[2], failure.edge_id.hex()[:_ID_CHARS]
        port = failure.ports or port
        word = "port" if port.isdigit() else "ports"
        service = services[failure.route_key]
        detail = f" ({failure.detail})" if failure.detail else ""
        yield f"edge {edge}… does not listen on {word} {port} of {service}: {failure.code}{detail}"
