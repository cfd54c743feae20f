"""Changes of an agent's services while it runs: what is new, what has another origin, what ends."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from towonel.agent.core.services import Service, can_be_announced
from towonel.wire.names import ServiceKey


@dataclass(frozen=True, slots=True)
class ServiceChanges:
    """Changes from some services to others, as service keys in order.

    Attributes:
        moved: those of `changed` that have another public port, TLS mode or HTTP inside it, or are for clients of other networks.
    """

    added: tuple[str, ...]
    changed: tuple[str, ...]
    removed: tuple[str, ...]
    moved: tuple[str, ...] = ()

    @property
    def are_public(self) -> bool:
        """Whether the hub is to know of them."""
        return bool(self.added or self.removed or self.moved)


def compare_services(before: Collection[Service], after: Collection[Service]) -> ServiceChanges:
    """Return what has changed."""
    old = {service.key: service for service in before}
    new = {service.key: service for service in after}
    changed = [key for key in new.keys() & old.keys() if new[key] != old[key]]
    return ServiceChanges(
        added=_sort(new.keys() - old.keys()),
        changed=_sort(changed),
        removed=_sort(old.keys() - new.keys()),
        moved=_sort(key for key in changed if _published(new[key]) != _published(old[key])),
    )


def _published(service: Service) -> tuple[object, ...]:
    return service.port, service.last_port, service.tls_mode, service.http2, service.clients


def _sort(keys: Iterable[ServiceKey]) -> tuple[str, ...]:
    return tuple(sorted(map(str, keys)))


def merge_services(before: Collection[Service], after: Sequence[Service]) -> Sequence[Service]:
    """Return what to serve until a change is published: both, or only `after` where an edge takes no more.

    A client that an edge sends by a route of before is served then, and one by a route of afterwards.
    """
    merged = {service.key: service for service in (*before, *after)}
    services = tuple(merged.values())
    return services if can_be_announced(services) else after
