"""Flows of an agent: what edges send in sealed packets goes to origins, and answers go back.

edge ──▶ sealed packet ──▶ session ──▶ flow ──▶ origin's socket
"""

from collections.abc import Callable
from typing import Final

from towonel.agent.core.origin_addresses import OriginAddresses
from towonel.agent.core.origin_table import OriginTable, pick_port
from towonel.agent.flows.counters import FlowCounters
from towonel.agent.flows.edge_session import EdgeSession
from towonel.agent.flows.origin_flow import FlowOrigin, OriginFlow
from towonel.agent.worker.messages import Addresses, OriginFacts, ServiceName, to_key
from towonel.relay.core.datagram_path import PathState
from towonel.relay.core.flow_table import FlowTable
from towonel.relay.flows.carrier import Carrier
from towonel.relay.flows.sockets import Endpoint, SocketAddress
from towonel.relay.loop import Loop
from towonel.wire import preamble
from towonel.wire.errors import Code, ProtocolError, TowonelError, Unavailable
from towonel.wire.names import ServiceKey
from towonel.wire.udp import datagrams
from towonel.wire.udp.datagrams import Record, RecordKind

_DATA: Final = RecordKind.DATA  # asked for with every datagram
type FlowKey = tuple[bytes, int]  # the session's id, and the number of its flow


class Flows:
    """Flows of all edges' clients.

    Args:
        loop: of the worker.
        limit: of flows at once.
        first_counter: of packets under each secret.
        resolve: asks control for the addresses of an origin; `learn` takes them.
        report_crash: is told of an exception that is a bug.
    """

    def __init__(
        self,
        loop: Loop,
        limit: int,
        first_counter: int,
        resolve: Callable[[ServiceKey], None],
        report_crash: Callable[[Exception], None],
    ) -> None:
        self.loop = loop
        self.first_counter = first_counter
        self.counters = FlowCounters()
        self.report_crash = report_crash
        self._resolve = resolve
        self._origins: dict[ServiceKey, FlowOrigin] = {}
        self._by_name = OriginTable(self._origins)
        self._sessions: dict[bytes, EdgeSession] = {}
        self._table = FlowTable[FlowKey, OriginFlow](limit)

    @property
    def now(self) -> float:
        """The time, which stands while a batch is carried."""
        return self.loop.wheel.now

    # What control says.

    def set_origins(self, facts: tuple[OriginFacts, ...]) -> None:
        """Take origins that are new, or changed; flows to those before end."""
        for name, _, addresses, idle_s, unanswered, ports, _ in facts:
            key = to_key(name)
            self._end_service(key)
            known = OriginAddresses(addresses)
            self._origins[key] = FlowOrigin(key, known, int(idle_s), unanswered, ports)

    def remove_origins(self, services: tuple[ServiceName, ...]) -> None:
        """End the flows of services that there are no more."""
        for key in map(to_key, services):
            self._end_service(key)
            self._origins.pop(key, None)

    def learn(self, service: ServiceKey, addresses: Addresses) -> None:
        """Take the addresses that an origin's name stands for now."""
        origin = self._origins.get(service)
        if origin is None:
            return
        origin.addresses.learn(addresses, self.now)
        waiting, origin.waiting = origin.waiting, set()
        for flow in waiting:
            self._connect(flow)

    def add_session(self, session_id: bytes, address: SocketAddress) -> None:
        """Seal packets for a session, once there is a secret."""
        self._sessions[session_id] = EdgeSession(session_id, address, self)

    def add_secret(self, session_id: bytes, index: int, secret: bytes) -> None:
        """Seal packets of a session with a newer secret."""
        session = self._sessions.get(session_id)
        if session is not None:
            session.link.add_secret(index, secret)
            session.link.ask(self.now)

    def end_session(self, session_id: bytes) -> None:
        """Forget a session and its flows."""
        session = self._sessions.pop(session_id, None)
        if session is None:
            return
        for flow in self._table:
            if flow.session is session:
                self._forget(flow, Code.SESSION_LOST)
        session.close()

    def drain(self) -> None:
        """End all flows: edges send their clients elsewhere."""
        for flow in self._table:
            self._end(flow, Code.GOING_AWAY)

    def tick(self) -> None:
        """End flows that are idle, and let sessions ask what they have to; it is called each second."""
        now = self.now
        for flow in self._table.find_idle(now):
            self._end(flow, Code.NORMAL)
        for session in self._sessions.values():
            session.tick(now)

    def describe_paths(self) -> tuple[int, dict[str, int]]:
        """Return how many flows there are, and how many sessions by the state of their path."""
        paths = dict.fromkeys((state.value for state in PathState), 0)
        for session in self._sessions.values():
            paths[session.link.path.state.value] += 1
        return len(self._table), paths

    # What edges send.

    def take_carried(self, carrier: Carrier, packet: bytes) -> None:
        """Act on a packet that came by a carrier; who cannot have sealed it loses that."""
        head = datagrams.decode_head(packet)
        index = None if head is None else head[0]
        for session in self._sessions.values():
            if index in session.link.indexes:
                self.take_packet(session, packet, carrier)
                if session.link.carrier is carrier:
                    return
        carrier.close()

    def forget_carrier(self, carrier: Carrier) -> None:
        """Use a carrier no more, which has ended."""
        for session in self._sessions.values():
            session.link.forget_carrier(carrier)

    def take_packet(self, session: EdgeSession, packet: bytes, source: Endpoint | Carrier) -> None:
        """Act on a packet of an edge."""
        record = session.link.receive(packet, source, self.now)
        if record is not None:
            self._take_record(session, record, self.now)

    def _take_record(self, session: EdgeSession, record: Record, now: float) -> None:
        """Act on a record of an edge."""
        key = session.session_id, record.flow
        flow = self._table.find(key)
        if record.kind == _DATA and flow is not None:
            self._table.use(key, flow, now)
            flow.send(record.body)
            return
        match record.kind:
            case RecordKind.DATA:
                session.link.send(record.flow, RecordKind.UNKNOWN, b"", now)
            case RecordKind.OPENING:
                self._open(session, record, flow)
            case RecordKind.ENDED if flow is not None:
                self._forget(flow, Code.NORMAL)
            case _:
                self.counters.loss.count("unknown_kind", record.kind != RecordKind.ENDED)

    def _open(self, session: EdgeSession, record: Record, flow: OriginFlow | None) -> None:
        try:
            opened, length = _read_preamble(record.body)
            if flow is None or flow.opened != opened:
                flow = self._add(session, record.flow, opened)
                if flow.over:  # there is no way to its origin
                    return
        except TowonelError as error:
            self._refuse(session, record.flow, error)
            return
        key = session.session_id, record.flow
        self._table.use(key, flow, self.now)
        body = datagrams.encode_opened(flow.origin.idle_s)
        session.link.send(record.flow, RecordKind.OPENED, body, self.now)
        flow.send(record.body[length:])

    def _add(self, session: EdgeSession, number: int, opened: preamble.Preamble) -> OriginFlow:
        origin = self._by_name.find(opened)
        if origin is None:
            raise Unavailable(Code.NO_SERVICE, str(opened.service))
        flow = OriginFlow(self, session, number, opened, origin)
        key = session.session_id, number
        before = self._table.remove(key)
        if before is not None:
            self._release(before, Code.SUPERSEDED)
        evicted = self._table.add(key, flow)
        if evicted is not None:
            self._tell_end(evicted, Code.LIMIT_EXCEEDED)
            self._release(evicted, Code.LIMIT_EXCEEDED)
        self.counters.opened += 1
        if origin.addresses.is_to_ask(self.now):
            self._resolve(origin.service)
        if origin.addresses.are_fresh(self.now):
            self._connect(flow)
        else:
            origin.waiting.add(flow)
        return flow

    def _connect(self, flow: OriginFlow) -> None:
        known = flow.origin.addresses.known
        if not known:
            self.fail(flow, Code.ORIGIN_UNREACHABLE)
            return
        try:
            flow.connect(pick_port(known[0], flow.origin, flow.opened))
        except OSError:
            self.fail(flow, Code.ORIGIN_UNREACHABLE)

    def _refuse(self, session: EdgeSession, number: int, error: TowonelError) -> None:
        self.counters.count_end(error.code)
        body = datagrams.encode_ended(error.code)
        session.link.send(number, RecordKind.ENDED, body, self.now)

    # Of flows.

    def answer(self, flow: OriginFlow, data: bytes) -> None:
        """Send what an origin has sent to its client."""
        now = self.now
        self._table.use((flow.session.session_id, flow.number), flow, now)
        self.counters.count_to_edge(len(data))
        flow.session.link.send(flow.number, _DATA, data, now)

    def fail(self, flow: OriginFlow, code: Code) -> None:
        """End a flow whose origin refuses it, or cannot be reached."""
        if not flow.over:
            self.counters.count_refusal(flow.origin.service, code)
            self._end(flow, code)

    def _end_service(self, service: ServiceKey) -> None:
        for flow in self._table:
            if flow.origin.service == service:
                self._end(flow, Code.NORMAL)

    def _end(self, flow: OriginFlow, code: Code) -> None:
        self._tell_end(flow, code)
        self._forget(flow, code)

    def _tell_end(self, flow: OriginFlow, code: Code) -> None:
        body = datagrams.encode_ended(code)
        flow.session.link.send(flow.number, RecordKind.ENDED, body, self.now)

    def _forget(self, flow: OriginFlow, code: Code) -> None:
        self._table.remove((flow.session.session_id, flow.number))
        self._release(flow, code)

    def _release(self, flow: OriginFlow, code: Code) -> None:
        flow.close()
        self.counters.count_end(code)


def _read_preamble(body: bytes) -> tuple[preamble.Preamble, int]:
    found = preamble.read(body)
    if found is None:
        raise ProtocolError(Code.BAD_PREAMBLE, "it is not whole")
    return found
