"""Rules of publishing again: when an agent's services stand, and what it does where they do not.

An agent publishes when it starts, and whenever the hub lost or dropped what it published. It never
does because another agent of its group published something else: two would replace each other for ever.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from towonel.agent.core.services import Service
from towonel.api.agents import Publication

MAX_NAMED = 10  # services in one line or reason


@dataclass(frozen=True, slots=True)
class Standing:
    """Outcome: all that the agent published stands."""


@dataclass(frozen=True, slots=True)
class Lost:
    """Outcome: the hub does not know what the agent published, as after its database was put back."""

    services: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Withdrawn:
    """Outcome: the hub dropped services, as when a hostname was taken from the invite."""

    services: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Displaced:
    """Outcome: another agent of the group published something else later; these services are gone."""

    services: tuple[str, ...]
    agent_id: bytes | None


type Outcome = Standing | Lost | Withdrawn | Displaced


def compare(own: Publication | None, newest: Publication, services: Collection[str]) -> Outcome:
    """Compare what an agent published with what its group published last.

    Args:
        own: what the hub said when the agent published; None from a hub of an older version.
        newest: what the hub says now.
        services: route keys of the agent.
    """
    published: Collection[str] = services if newest.services is None else newest.services
    missing = tuple(sorted(set(services).difference(published)))
    if own is None or newest.number < own.number:
        return Lost(missing)
    if newest.digest not in {None, own.digest}:
        return Displaced(missing, newest.agent_id)
    return Withdrawn(missing) if missing else Standing()


def tabulate_routes(services: Iterable[Service], ports: Mapping[str, int]) -> dict[str, str]:
    """Return the service keys by the keys of their routes: `https:app.example.eu`, `tcp:2222`, `udp:27015-27030`.

    Args:
        services: of the agent.
        ports: that the hub has given them, by service key; one that asks for any port has no route without.
    """
    routes: dict[str, str] = {}
    for service in services:
        key = str(service.key)
        port = ports.get(key, service.port)
        if service.port is None:
            routes[key] = key
        elif service.last_port is not None:  # a range, of which the hub names the first port
            routes[f"{service.key.kind}:{service.ports}"] = key
        elif isinstance(port, int):
            routes[f"{service.key.kind}:{port}"] = key
    return routes


def format_names(names: Sequence[str]) -> str:
    """Return names for a person to read, the first of many."""
    rest = len(names) - MAX_NAMED
    return ", ".join(names[:MAX_NAMED]) + (f" and {rest} more" if rest > 0 else "")
