"""Clients that come over lanes: each is connected to the origin that it asks for, or refused."""

import ssl
from collections.abc import Callable
from typing import Final, override

from towonel.agent.core.client_counts import ClientCounts, count_alone
from towonel.agent.core.origin_addresses import OriginAddresses
from towonel.agent.core.origin_table import OriginTable
from towonel.agent.core.tls.origin_tls import OriginTls
from towonel.agent.tls.origin_contexts import OriginContexts
from towonel.agent.worker.client_dial import ClientDial, WorkerOrigin
from towonel.agent.worker.counters import ClientCounters
from towonel.agent.worker.messages import (
    Addresses,
    OriginFacts,
    ServiceName,
    Start,
    to_key,
)
from towonel.agent.worker.origin_connection import OriginConnection
from towonel.relay.agent_lanes import AgentLane
from towonel.relay.connection import Connection, Owner
from towonel.relay.core.lane_kinds import LaneKind
from towonel.relay.loop import Loop
from towonel.relay.memory import Memory
from towonel.relay.tls.tls_memory import TlsMemory
from towonel.wire import lane_open
from towonel.wire.errors import Code, ProtocolError, TowonelError, Unavailable
from towonel.wire.names import ServiceKey

NO_SETTINGS: Final = Start(origin_timeout_s=0, max_streams=0, orphan_s=0)


class Clients(Owner):
    """Clients of all lanes of a worker.

    Args:
        loop: of the worker.
        memory: of the worker.
        resolve: asks control for the addresses of an origin; `learn` takes them.
        on_change: called when there is a client, and when there is none any more.
        report_crash: is told of an exception that is a bug.

    Attributes:
        start: the settings; as long as they are not there, every client is one too many.
        dials: clients whose origin is not connected.
        connections: those whose origin is.
    """

    def __init__(
        self,
        loop: Loop,
        memory: Memory,
        resolve: Callable[[ServiceKey], None],
        on_change: Callable[[], None],
        report_crash: Callable[[Exception], None],
    ) -> None:
        self.loop = loop
        self.memory = memory
        self.start = NO_SETTINGS
        self._counts = count_alone()
        self.counters = ClientCounters()
        self.dials: set[ClientDial] = set()
        self.connections: set[OriginConnection] = set()
        self._resolve = resolve
        self._on_change = on_change
        self.report_crash = report_crash
        self._contexts = OriginContexts()
        self._tls_memory: TlsMemory | None = None
        self._origins: dict[ServiceKey, WorkerOrigin] = {}
        self._table = OriginTable(self._origins)

    @property
    def active(self) -> int:
        """Number of clients."""
        return len(self.dials) + len(self.connections)

    def begin(self, start: Start, counts: ClientCounts) -> None:
        """Take the settings, and where all clients of the agent are counted."""
        self.start = start
        self._counts = counts

    def set_origins(self, facts: tuple[OriginFacts, ...]) -> None:
        """Take origins that are new, or changed; who waits for the address of the one before is refused."""
        for name, proxied, addresses, idle_s, _, ports, tls_facts in facts:
            key = to_key(name)
            self._refuse_waiting(key)
            known = OriginAddresses(addresses)
            tls = None if tls_facts is None else OriginTls(*tls_facts)
            self._origins[key] = WorkerOrigin(key, proxied, known, idle_s, ports, tls)

    def remove_origins(self, services: tuple[ServiceName, ...]) -> None:
        """Refuse new clients of services; those whose origin is connected go on."""
        for key in map(to_key, services):
            self._refuse_waiting(key)
            self._origins.pop(key, None)

    def learn(self, service: ServiceKey, addresses: Addresses) -> None:
        """Take the addresses that an origin's name stands for now."""
        origin = self._origins.get(service)
        if origin is None:
            return
        origin.addresses.learn(addresses, self.loop.wheel.now)
        waiting, origin.waiting = origin.waiting, set()
        for dial in waiting:
            dial.take_addresses()

    def _refuse_waiting(self, service: ServiceKey) -> None:
        """Refuse clients that nobody will tell an address: their edge asks another agent, or again."""
        origin = self._origins.get(service)
        for dial in () if origin is None else tuple(origin.waiting):
            dial.end_by(Code.NO_SERVICE)

    def open(self, lane: AgentLane, content: bytes) -> ClientDial | None:
        """Serve the client of an OPEN; return its dial, unless that has ended already."""
        try:
            opened = lane_open.decode(content)
        except ProtocolError as error:
            self._refuse(lane, None, error.code)
            return None
        service = opened.preamble.service
        if self.active + self._counts.elsewhere >= self.start.max_streams:
            self._refuse(lane, service, Code.OVERLOADED)
            return None
        origin = self._table.find(opened.preamble)
        if origin is None:
            self._refuse(lane, service, Code.NO_SERVICE)
            return None
        try:
            context = self._find_context(origin, lane, opened.preamble.protocol)
        except TowonelError as error:
            self._refuse(lane, service, error.code, error.detail)
            return None
        dial = ClientDial(self, lane, origin, opened, context)
        self.dials.add(dial)
        self._counts.put(self.active)
        if self.active == 1:
            self._on_change()
        if origin.addresses.is_to_ask(self.loop.wheel.now):
            self._resolve(service)
        dial.start()
        return None if dial.over else dial

    def _find_context(
        self, origin: WorkerOrigin, lane: AgentLane, protocol: str | None
    ) -> ssl.SSLContext | None:
        """Return the context of an origin that TLS is spoken to.

        Raises:
            Unavailable: NO_SERVICE for a client whose own TLS has not ended, as by an edge that has yet to hear
                that it does: only lanes inside TLS bring others. ORIGIN_TLS_FAILED.
        """
        if origin.tls is None:
            return None
        if lane.kind is not LaneKind.TLS:
            raise Unavailable(Code.NO_SERVICE, "its TLS has not ended at the edge")
        return self._contexts.find(origin.tls, self.loop.wheel.now, protocol)

    @property
    def tls_memory(self) -> TlsMemory:
        """Memory of the TLS of origins."""
        self._tls_memory = self._tls_memory or TlsMemory()
        return self._tls_memory

    def look_up(self, dial: ClientDial, origin: WorkerOrigin) -> None:
        """Let a dial wait for the addresses of its origin."""
        origin.waiting.add(dial)
        if origin.addresses.is_to_ask_again(self.loop.wheel.now):
            self._resolve(origin.service)

    def relay(self, dial: ClientDial, connection: OriginConnection) -> None:
        """Count a client whose origin is connected."""
        self.dials.discard(dial)
        self.connections.add(connection)
        self.counters.accepted[dial.lane.kind] += 1

    def refuse(self, dial: ClientDial, code: Code, detail: str) -> None:
        """Refuse a client whose origin was not reached."""
        self._drop(dial)
        self._refuse(dial.lane, dial.origin.service, code, detail)
        self._check_none()

    def forget(self, dial: ClientDial, code: Code) -> None:
        """Forget a client that is gone before its origin was reached."""
        self._drop(dial)
        self._check_none()
        self.counters.count_failure(code)

    @override
    def on_connection_ended(self, connection: Connection) -> None:
        assert isinstance(connection, OriginConnection), "the worker has no others"
        self.connections.discard(connection)
        self._counts.put(self.active)
        self.counters.count_end(connection)
        self._check_none()

    def _check_none(self) -> None:
        if not self.active:
            self._on_change()

    def _drop(self, dial: ClientDial) -> None:
        self.dials.discard(dial)
        self._counts.put(self.active)
        dial.origin.waiting.discard(dial)

    def _refuse(
        self, lane: AgentLane, service: ServiceKey | None, code: Code, detail: str = ""
    ) -> None:
        self.counters.count_refusal(service, code, detail)
        lane.reject(code)
