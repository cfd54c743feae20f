"""Clients that come over lanes: each is connected to the origin that it asks for, or refused."""

from collections.abc import Callable
from dataclasses import dataclass, field
from socket import SocketType
from typing import Final, override

from towonel.agent.core.client_counts import ClientCounts, count_alone
from towonel.agent.core.origin_addresses import OriginAddresses
from towonel.agent.core.origin_attempts import SocketAddress
from towonel.agent.core.origin_table import OriginTable, pick_port
from towonel.agent.core.proxy_header import encode_proxy_header
from towonel.agent.worker.counters import ClientCounters
from towonel.agent.worker.messages import (
    Addresses,
    OriginFacts,
    Ports,
    ServiceName,
    Start,
    to_key,
)
from towonel.agent.worker.origin_connection import OriginConnection
from towonel.agent.worker.origin_dial import OriginDial
from towonel.relay.agent_lanes import AgentLane
from towonel.relay.connection import Connection, Owner
from towonel.relay.loop import Loop
from towonel.relay.memory import Memory
from towonel.wire import lane_open
from towonel.wire.errors import Code, ProtocolError
from towonel.wire.lane_open import LaneOpen
from towonel.wire.names import ServiceKey

NO_SETTINGS: Final = Start(origin_timeout_s=0, max_streams=0, orphan_s=0)


@dataclass(slots=True)
class WorkerOrigin:
    """Origin of a service, and the clients that wait for its addresses."""

    service: ServiceKey
    proxied: bool
    addresses: OriginAddresses
    idle_s: float
    ports: Ports | None = None
    waiting: set["ClientDial"] = field(default_factory=set["ClientDial"])


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
        for name, proxied, addresses, idle_s, _, ports in facts:
            key = to_key(name)
            self._refuse_waiting(key)
            known = OriginAddresses(addresses)
            self._origins[key] = WorkerOrigin(key, proxied, known, idle_s, ports)

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

    def open(self, lane: AgentLane, content: bytes) -> "ClientDial | None":
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
        dial = ClientDial(self, lane, origin, opened)
        self.dials.add(dial)
        self._counts.put(self.active)
        if self.active == 1:
            self._on_change()
        if origin.addresses.is_to_ask(self.loop.wheel.now):
            self._resolve(service)
        dial.start()
        return None if dial.over else dial

    def look_up(self, dial: "ClientDial", origin: WorkerOrigin) -> None:
        """Let a dial wait for the addresses of its origin."""
        origin.waiting.add(dial)
        if origin.addresses.is_to_ask_again(self.loop.wheel.now):
            self._resolve(origin.service)

    def relay(self, dial: "ClientDial", connection: OriginConnection) -> None:
        """Count a client whose origin is connected."""
        self.dials.discard(dial)
        self.connections.add(connection)
        self.counters.accepted[dial.lane.kind] += 1

    def refuse(self, dial: "ClientDial", code: Code) -> None:
        """Refuse a client whose origin was not reached."""
        self._drop(dial)
        self._refuse(dial.lane, dial.origin.service, code)
        self._check_none()

    def forget(self, dial: "ClientDial", code: Code) -> None:
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

    def _drop(self, dial: "ClientDial") -> None:
        self.dials.discard(dial)
        self._counts.put(self.active)
        dial.origin.waiting.discard(dial)

    def _refuse(self, lane: AgentLane, service: ServiceKey | None, code: Code) -> None:
        self.counters.count_refusal(service, code)
        lane.reject(code)


class ClientDial(OriginDial):
    """Dial of the origin of one client."""

    def __init__(
        self, clients: Clients, lane: AgentLane, origin: WorkerOrigin, opened: LaneOpen
    ) -> None:
        timeout_s = clients.start.origin_timeout_s
        super().__init__(origin.addresses, clients.loop, timeout_s, clients.memory.hop)
        self.lane = lane
        self.origin = origin
        self._clients = clients
        self._opened = opened

    @override
    def pick_port(self, address: SocketAddress) -> SocketAddress:
        return pick_port(address, self.origin, self._opened.preamble)

    @override
    def on_connected(self, sock: SocketType, events: int) -> None:
        origin, opened, lane = self.origin, self._opened, self.lane
        header = encode_proxy_header(opened.preamble) if origin.proxied else b""
        connection = OriginConnection(
            sock, lane, self._clients, origin.service, header, origin.idle_s
        )
        self.loop.replace(connection.descriptor, connection)
        self._clients.relay(self, connection)
        connection.begin(opened.first)
        connection.on_ready(events)  # the origin may have spoken, or ended, already
        lane.accept(connection)

    @override
    def on_failed(self, code: Code) -> None:
        self._clients.refuse(self, code)

    @override
    def on_given_up(self, code: Code) -> None:
        self._clients.forget(self, code)

    @override
    def crash(self, error: Exception) -> None:
        self._clients.report_crash(error)
        if not self.over:
            self.end_by(Code.INTERNAL)

    @override
    def look_up(self) -> None:
        self._clients.look_up(self, self.origin)
