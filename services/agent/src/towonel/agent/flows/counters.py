"""Counters of an agent's flow worker between two messages to control."""

from towonel.agent.flows.messages import Counters
from towonel.agent.worker.messages import Refused, name_service
from towonel.relay.flows.session import DatagramLoss
from towonel.wire.errors import Code
from towonel.wire.names import ServiceKey


class FlowCounters:
    """Counters that are added to as things happen, and taken for control.

    Attributes:
        loss: datagrams and packets that were dropped.
        opened: flows that began.
    """

    def __init__(self) -> None:
        self.loss = DatagramLoss()
        self.opened = 0
        self._ended: dict[int, int] = {}
        self._refused: dict[tuple[ServiceKey, Code], int] = {}
        self._to_origin = self._to_edge = (0, 0)

    def count_to_origin(self, size: int) -> None:
        """Count a datagram for an origin."""
        count, total = self._to_origin
        self._to_origin = count + 1, total + size

    def count_to_edge(self, size: int) -> None:
        """Count a datagram of an origin."""
        count, total = self._to_edge
        self._to_edge = count + 1, total + size

    def count_end(self, code: Code) -> None:
        """Count a flow that has ended."""
        self._ended[code] = self._ended.get(code, 0) + 1

    def count_refusal(self, service: ServiceKey, code: Code) -> None:
        """Count a flow that an origin did not take, for the log."""
        key = service, code
        self._refused[key] = self._refused.get(key, 0) + 1

    def take(self, active: int, paths: dict[str, int]) -> tuple[Counters, list[Refused]]:
        """Return what was counted since the last call, and what the log is to say of it."""
        counters = Counters(
            active,
            self.opened,
            tuple(self._ended.items()),
            tuple(self.loss.by_reason.items()),
            self._to_origin,
            self._to_edge,
            tuple(paths.items()),
        )
        refusals = [
            Refused(name_service(service), code, times)
            for (service, code), times in self._refused.items()
        ]
        self.opened = 0
        self._to_origin = self._to_edge = (0, 0)
        self._ended, self._refused = {}, {}
        self.loss.by_reason.clear()
        return counters, refusals
