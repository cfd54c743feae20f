"""Counters of a worker between two messages to control."""

from dataclasses import dataclass, field
from typing import Final

from towonel.edge.core.access_log import HUB_WAY
from towonel.edge.core.traffic import OwnedService
from towonel.relay.core.lane_kinds import LaneKind
from towonel.relay.edge_lanes import EdgeLanes
from towonel.wire.errors import Code

_SERVED: Final = (str(LaneKind.PLAIN), str(LaneKind.TLS), HUB_WAY)
# In one message, which is 55 KiB with the longest names; the others follow in the next.
MAX_ROWS: Final = 150


type Count = tuple[int, int]  # a code, and how often
# A tenant's id, its service's key, clients that began, clients that ended, bytes in, bytes out.
type ServiceRow = tuple[bytes, str, int, int, int, int]


@dataclass(frozen=True, slots=True)
class Counters:
    """Counters since the message before, and what there is now.

    Args:
        accepted, accept_errors, retries, refused, ended: as the metrics of these names, by code.
        bytes_in, bytes_out: from clients to agents, and back.
        active: clients now, those that control serves included.
        served: clients that were relayed, by the kind of their lane, or `hub`.
        lanes_admitted: by kind.
        lanes_refused, lanes_lost: by code.
        lanes_idle, lanes_in_use, lanes_wanted: now.
        services: the tenant's id, key, clients that began, clients that ended, bytes in, bytes out.
    """

    accepted: int = 0
    accept_errors: dict[str, int] = field(default_factory=dict[str, int])
    retries: list[Count] = field(default_factory=list[Count])
    refused: list[Count] = field(default_factory=list[Count])
    ended: list[Count] = field(default_factory=list[Count])
    bytes_in: int = 0
    bytes_out: int = 0
    active: int = 0
    served: dict[str, int] = field(default_factory=dict[str, int])
    lanes_admitted: dict[str, int] = field(default_factory=dict[str, int])
    lanes_refused: list[Count] = field(default_factory=list[Count])
    lanes_lost: list[Count] = field(default_factory=list[Count])
    lanes_idle: int = 0
    lanes_in_use: int = 0
    lanes_wanted: int = 0
    services: list[ServiceRow] = field(default_factory=list[ServiceRow])


class ServiceCounters:
    """Counters of one service since they were last taken."""

    def __init__(self) -> None:
        self.began = self.ended = 0
        self.bytes_in = self.bytes_out = 0


class CountersByService:
    """Counters of services since they were last taken; one of which there is nothing to say takes no memory."""

    def __init__(self) -> None:
        self._services: dict[OwnedService, ServiceCounters] = {}

    def find(self, service: OwnedService) -> ServiceCounters:
        """Return a service's counters, to add to at once."""
        found = self._services.get(service)
        if found is None:
            found = self._services[service] = ServiceCounters()
        return found

    def take(self) -> list[ServiceRow]:
        """Return as many as fit into a message; the others stay for the next."""
        taken: list[ServiceRow] = []
        while self._services and len(taken) < MAX_ROWS:
            service, each = self._services.popitem()
            taken.append((*service, each.began, each.ended, each.bytes_in, each.bytes_out))
        return taken


class WorkerCounters:
    """Counters of all clients, added to as things happen, and taken for control."""

    def __init__(self) -> None:
        self.active = 0  # clients now
        self.accepted = 0
        self.bytes_in = self.bytes_out = 0
        self.accept_errors: dict[str, int] = {}
        self.retries: dict[int, int] = {}
        self.refused: dict[int, int] = {}
        self.ended: dict[int, int] = {}
        self._services = CountersByService()
        self.served = dict.fromkeys(_SERVED, 0)
        self._lanes_admitted = dict.fromkeys(LaneKind, 0)
        self._lanes_refused: dict[Code, int] = {}
        self._lanes_lost: dict[Code, int] = {}

    def service(self, service: OwnedService) -> ServiceCounters:
        """Return a service's counters, to add to at once."""
        return self._services.find(service)

    def take(self, lanes: EdgeLanes, lanes_now: tuple[int, int, int]) -> Counters:
        """Return what was counted since the last call.

        Args:
            lanes: whose own counters are since the start.
            lanes_now: that are idle, in use, and wanted.
        """
        admitted, self._lanes_admitted = self._lanes_admitted, dict(lanes.admitted)
        lanes_refused, self._lanes_refused = self._lanes_refused, dict(lanes.refused)
        lanes_lost, self._lanes_lost = self._lanes_lost, dict(lanes.lost)
        message = Counters(
            self.accepted,
            self.accept_errors,
            list(self.retries.items()),
            list(self.refused.items()),
            list(self.ended.items()),
            self.bytes_in,
            self.bytes_out,
            self.active,
            self.served,
            {str(kind): number - admitted[kind] for kind, number in lanes.admitted.items()},
            _difference(lanes.refused, lanes_refused),
            _difference(lanes.lost, lanes_lost),
            *lanes_now,
            self._services.take(),
        )
        self.served = dict.fromkeys(_SERVED, 0)
        self.accepted = self.bytes_in = self.bytes_out = 0
        self.accept_errors = {}
        self.retries, self.refused, self.ended = {}, {}, {}
        return message


def find_silent(report: Counters) -> Counters:
    """Return the report that follows another one if nothing is counted in between."""
    return Counters(
        active=report.active,
        served=dict.fromkeys(report.served, 0),
        lanes_admitted=dict.fromkeys(report.lanes_admitted, 0),
        lanes_idle=report.lanes_idle,
        lanes_in_use=report.lanes_in_use,
        lanes_wanted=report.lanes_wanted,
    )


def count(counts: dict[int, int], code: Code) -> None:
    """Count one more of a code."""
    counts[code] = counts.get(code, 0) + 1


def _difference(now: dict[Code, int], before: dict[Code, int]) -> list[Count]:
    return [
        (int(code), number - before.get(code, 0))
        for code, number in now.items()
        if number != before.get(code, 0)
    ]
