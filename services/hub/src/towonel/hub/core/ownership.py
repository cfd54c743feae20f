"""Who owns a hostname: the invite with the most specific pattern that covers it."""

from collections.abc import Iterable, Mapping

from towonel.wire.ids import TenantId
from towonel.wire.names import Hostname


def candidates(name: Hostname) -> tuple[Hostname, ...]:
    """Return every pattern that could own `name`, the most specific first.

    `a.b.example.eu` can be owned by itself, `*.b.example.eu`, `*.example.eu` and `*.eu`;
    `*.b.example.eu` by itself, `*.example.eu` and `*.eu`.
    """
    labels = name.split(".")
    first = 2 if labels[0] == "*" else 1
    return (name, *(Hostname(f"*.{'.'.join(labels[at:])}") for at in range(first, len(labels))))


def owner_of(name: Hostname, owners: Mapping[Hostname, TenantId]) -> TenantId | None:
    """Return the tenant that owns `name`, of the owners of patterns.

    Args:
        name: a hostname or a pattern.
        owners: the tenant of each pattern; at least those of `candidates(name)` that have one.
    """
    return next((owners[pattern] for pattern in candidates(name) if pattern in owners), None)


def taken(patterns: Iterable[Hostname], owners: Mapping[Hostname, TenantId]) -> list[Hostname]:
    """Return those of the patterns that another invite holds, spelled the same."""
    return sorted(pattern for pattern in patterns if pattern in owners)
