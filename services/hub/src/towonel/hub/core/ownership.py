"""Ownership of hostnames: the most specific pattern that covers a name decides."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from enum import Enum

from towonel.wire.ids import TenantId
from towonel.wire.names import Hostname


def candidates(name: Hostname) -> tuple[Hostname, ...]:
    """Return all patterns that could own `name`, the most specific first.

    `a.b.example.eu` can be owned by itself, `*.b.example.eu`, `*.example.eu` and `*.eu`;
    `*.b.example.eu` by itself, `*.example.eu` and `*.eu`.
    """
    above = tuple(_wildcards_of(name))
    return above if is_wildcard(name) else (name, *above)


def is_covered(name: Hostname, wildcards: Collection[Hostname]) -> bool:
    """Whether one of the wildcards covers a name or a pattern."""
    return any(pattern in wildcards for pattern in _wildcards_of(name))


def _wildcards_of(name: Hostname) -> Iterator[Hostname]:
    """Yield the wildcards that cover a name, the longest first; one covers itself."""
    dot = name.find(".")
    while dot >= 0:
        yield Hostname(f"*{name[dot:]}")
        dot = name.find(".", dot + 1)


def find_owner(name: Hostname, owners: Mapping[Hostname, TenantId]) -> TenantId | None:
    """Return the tenant that owns `name`.

    Args:
        name: a hostname or a pattern.
        owners: the tenant of each pattern; at least those of `candidates(name)` that have one.
    """
    return next((owners[pattern] for pattern in candidates(name) if pattern in owners), None)


class Claim(Enum):
    """Result of checking a tenant's claim to a hostname."""

    OWNED = "owned"
    OUTRANKED = "outranked"  # covered, but another tenant has a more specific pattern
    FOREIGN = "foreign"  # not covered


def check_claim(tenant_id: TenantId, name: Hostname, owners: Mapping[Hostname, TenantId]) -> Claim:
    """Return whether a tenant owns `name`; the arguments are those of `owner_of`."""
    if find_owner(name, owners) == tenant_id:
        return Claim.OWNED
    covered = any(owners.get(pattern) == tenant_id for pattern in candidates(name))
    return Claim.OUTRANKED if covered else Claim.FOREIGN


def find_taken(patterns: Iterable[Hostname], owners: Mapping[Hostname, TenantId]) -> list[Hostname]:
    """Return the patterns that already have an owner."""
    return sorted(pattern for pattern in patterns if pattern in owners)


def is_wildcard(pattern: Hostname) -> bool:
    """Whether a pattern is a wildcard."""
    return pattern.startswith("*.")
