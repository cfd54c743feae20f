"""Hints of an agent for the load balancers of edges, and their codec in control messages.

    {weight: uint, failing: bytes, sticky: bytes}

The two byte strings have a bit for each of the agent's services, in the order of kind, then name: the first is
the lowest bit of the first byte. What is left out is as of an agent without hints.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Final

from towonel.wire.cbor import Fields
from towonel.wire.names import ServiceKey
from towonel.wire.session.service_lists import MAX_SERVICES

DEFAULT_WEIGHT: Final = 100  # so that another group can have a hundredth of it
MAX_WEIGHT: Final = 1000
_MAX_BYTES: Final = -(-MAX_SERVICES // 8)


@dataclass(frozen=True, slots=True)
class BalanceHints:
    """Hints of an agent.

    Args:
        weight: of its group; 0 is for a standby, which gets clients while no other agent can take them.
        failing: services whose origins fail their checks.
        sticky: services of which a client is to stay with one agent.
    """

    weight: int = DEFAULT_WEIGHT
    failing: frozenset[ServiceKey] = frozenset()
    sticky: frozenset[ServiceKey] = frozenset()

    def keep(self, services: Collection[ServiceKey]) -> "BalanceHints":
        """Return the hints about these services alone."""
        return BalanceHints(
            self.weight, self.failing.intersection(services), self.sticky.intersection(services)
        )

    def mark(
        self, services: Iterable[ServiceKey], *, failing: bool, sticky: bool
    ) -> "BalanceHints":
        """Return the hints where these services are failing and sticky, or are not."""
        some = frozenset(services)
        return BalanceHints(
            self.weight,
            self.failing | some if failing else self.failing - some,
            self.sticky | some if sticky else self.sticky - some,
        )

    def find_marked_anew(self, before: "BalanceHints") -> frozenset[ServiceKey]:
        """Return the services that are marked otherwise than before."""
        return (self.failing ^ before.failing) | (self.sticky ^ before.sticky)

    def split(self, services: Iterable[ServiceKey]) -> Mapping[tuple[bool, bool], list[ServiceKey]]:
        """Return services by whether they are failing, and whether they are sticky."""
        found: dict[tuple[bool, bool], list[ServiceKey]] = {}
        for service in services:
            marks = service in self.failing, service in self.sticky
            found.setdefault(marks, []).append(service)
        return found


@dataclass(frozen=True, slots=True)
class Hints:
    """Agent to edge, also inside `Hello`: its weight, and bits of its services."""

    type: ClassVar[int] = 12
    weight: int = DEFAULT_WEIGHT
    failing: bytes = b""
    sticky: bytes = b""


NO_HINTS: Final = BalanceHints()
NO_MESSAGE: Final = Hints()


def pack(hints: BalanceHints, services: Iterable[ServiceKey]) -> Hints:
    """Return the message with the hints about these services, which are all that the agent has."""
    ordered = sorted(services)
    failing = to_bits(each in hints.failing for each in ordered)
    return Hints(hints.weight, failing, to_bits(each in hints.sticky for each in ordered))


def unpack(message: Hints, services: Iterable[ServiceKey]) -> BalanceHints:
    """Return the hints of an agent with these services; bits behind them say nothing."""
    ordered = sorted(services)
    return BalanceHints(
        message.weight, _from_bits(message.failing, ordered), _from_bits(message.sticky, ordered)
    )


def read_hints(fields: Fields) -> Hints:
    """Return the hints of a message.

    Raises:
        ProtocolError: MALFORMED.
    """
    values = fields.values
    return Hints(
        fields.uint("weight", MAX_WEIGHT) if "weight" in values else DEFAULT_WEIGHT,
        fields.octets("failing", at_most=_MAX_BYTES) if "failing" in values else b"",
        fields.octets("sticky", at_most=_MAX_BYTES) if "sticky" in values else b"",
    )


def write_hints(message: Hints) -> Mapping[str, Any]:
    """Return hints as they stand in a message."""
    return {"weight": message.weight, "failing": message.failing, "sticky": message.sticky}


def to_bits(flags: Iterable[bool]) -> bytes:
    """Return a bit for each flag: the first is the lowest of the first byte, and bytes of none at the end are left out."""
    number = sum(1 << place for place, flag in enumerate(flags) if flag)
    return number.to_bytes(-(-number.bit_length() // 8), "little")


def _from_bits(bits: bytes, services: Iterable[ServiceKey]) -> frozenset[ServiceKey]:
    number = int.from_bytes(bits, "little")
    return frozenset(each for place, each in enumerate(services) if number >> place & 1)
