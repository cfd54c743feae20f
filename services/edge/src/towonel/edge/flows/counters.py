"""Counters of the flow worker between two messages to control."""

from towonel.edge.core.traffic import OwnedService
from towonel.edge.flows.messages import Counters, Refused
from towonel.edge.worker.counters import CountersByService, count
from towonel.relay.flows.session import DatagramLoss
from towonel.wire.errors import Code
from towonel.wire.ids import TenantId


class FlowCounters:
    """Counters that are added to as things happen, and taken for control.

    Attributes:
        loss: datagrams and packets that were dropped.
    """

    def __init__(self) -> None:
        self.loss = DatagramLoss()
        self.datagrams_in = self.datagrams_out = 0
        self.bytes_in = self.bytes_out = 0
        self._opened = 0
        self._ended: dict[int, int] = {}
        self._refused: dict[int, int] = {}
        self._refusals: dict[int, Refused] = {}
        self._services = CountersByService()

    def open(self, service: OwnedService) -> None:
        """Count a flow that begins."""
        self._opened += 1
        self._services.find(service).began += 1

    def end(self, service: OwnedService, code: Code) -> None:
        """Count a flow that has ended."""
        count(self._ended, code)
        self._services.find(service).ended += 1

    def refuse(
        self,
        code: Code,
        detail: str,
        peer: tuple[str, int],
        tenant_id: TenantId | None = None,
        service: str | None = None,
    ) -> None:
        """Count a datagram whose client gets no flow; the last with a code is for the log."""
        count(self._refused, code)
        self._refusals[code] = Refused(code, detail, self._refused[code], peer, tenant_id, service)

    def take_in(self, service: OwnedService, size: int) -> None:
        """Count a datagram of a client."""
        self.datagrams_in += 1
        self.bytes_in += size
        self._services.find(service).bytes_in += size

    def take_out(self, service: OwnedService, size: int) -> None:
        """Count a datagram to a client."""
        self.datagrams_out += 1
        self.bytes_out += size
        self._services.find(service).bytes_out += size

    def take(self, active: int, paths: dict[str, int]) -> tuple[Counters, list[Refused]]:
        """Return what was counted since the last call, and what the log is to say of it."""
        counters = Counters(
            active,
            self._opened,
            tuple(self._ended.items()),
            tuple(self._refused.items()),
            tuple(self.loss.by_reason.items()),
            self.datagrams_in,
            self.datagrams_out,
            self.bytes_in,
            self.bytes_out,
            tuple(paths.items()),
            tuple(self._services.take()),
        )
        refusals = list(self._refusals.values())
        self._opened = self.datagrams_in = self.datagrams_out = self.bytes_in = self.bytes_out = 0
        self._ended, self._refused, self._refusals = {}, {}, {}
        self.loss.by_reason.clear()
        return counters, refusals
