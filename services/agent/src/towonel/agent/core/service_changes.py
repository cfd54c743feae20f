"""Changes of an agent's services while it runs: what is new, what has another origin, what ends."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from towonel.agent.core.services import Service, can_be_announced


@dataclass(frozen=True, slots=True)
class ServiceChanges:
    """Changes from some services to others, as route keys in order."""

    added: tuple[str, ...]
    changed: tuple[str, ...]
    removed: tuple[str, ...]


def compare_services(before: Collection[Service], after: Collection[Service]) -> ServiceChanges:
    """Return what has changed."""
    old = {service.key: service for service in before}
    new = {service.key: service for service in after}
    return ServiceChanges(
        added=tuple(sorted(str(key) for key in new.keys() - old.keys())),
        changed=tuple(sorted(str(key) for key in new.keys() & old.keys() if new[key] != old[key])),
        removed=tuple(sorted(str(key) for key in old.keys() - new.keys())),
    )


def merge_services(before: Collection[Service], after: Sequence[Service]) -> Sequence[Service]:
    """Return what to serve until a change is published: both, or only `after` where an edge takes no more.

    A client that an edge sends by a route of before is served then, and one by a route of afterwards.
    """
    merged = {service.key: service for service in (*before, *after)}
    services = tuple(merged.values())
    return services if can_be_announced(services) else after
