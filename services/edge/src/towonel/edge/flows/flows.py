"""Flows of an edge: datagrams of clients go to agents in sealed packets, and answers come back.

client ──▶ port's socket ──▶ flow ──▶ session ──▶ sealed packet ──▶ agent
"""

import random
import socket
from collections.abc import Callable
from ipaddress import ip_address
from typing import Final

from towonel.edge.core.balance import SESSION_CODES, Balancer
from towonel.edge.flows.client_flow import ClientFlow, FlowKey, PortRoute
from towonel.edge.flows.counters import FlowCounters
from towonel.edge.flows.flow_ports import FlowPorts
from towonel.edge.flows.limits import OVER_BANDWIDTH, FlowLimits
from towonel.edge.flows.messages import Counters, Refused
from towonel.edge.flows.sessions import AgentSession, AgentSessions
from towonel.relay.core.datagram_path import PathState
from towonel.relay.core.flow_table import FlowTable
from towonel.relay.flows.carrier import IDLE_S, UNNEEDED_S, Carrier, connect_pair
from towonel.relay.flows.outbox import Outbox
from towonel.relay.flows.sockets import DatagramSocket, Endpoint, local_host
from towonel.relay.loop import Loop
from towonel.runtime.addresses import source_of, unmap
from towonel.wire import preamble
from towonel.wire.errors import Code, Denied, ProtocolError, TowonelError, Unavailable
from towonel.wire.preamble import Preamble
from towonel.wire.proxy import Address
from towonel.wire.udp import datagrams
from towonel.wire.udp.datagrams import Record, RecordKind

# Ends of flows that say nothing about an origin; the agent makes room for others with the last.
_NO_FAILURES: Final = SESSION_CODES | {Code.NORMAL, Code.LIMIT_EXCEEDED}
_DATA: Final = RecordKind.DATA  # asked for with every datagram
CARRIER_PAUSE_S: Final = 1.0  # between two carriers of a session


class Flows:
    """Flows of all clients.

    Args:
        most: at once; for one more an older one goes.
        limits: of sources and tenants.
        loop: of the worker.
        sealed: of the socket for packets of agents.
        offer: gives control the other end of a session's carrier, and the port of a service.
        report_crash: is told of an exception that is a bug.
    """

    def __init__(
        self,
        most: int,
        limits: FlowLimits,
        loop: Loop,
        sealed: Outbox,
        offer: Callable[[AgentSession, int, socket.socket], None],
        report_crash: Callable[[Exception], None],
    ) -> None:
        self._loop = loop
        self._offer = offer
        self._report_crash = report_crash
        self.counters = FlowCounters()
        self._balancer = Balancer()
        self.sessions = AgentSessions(
            self._balancer, sealed.send, self.counters.loss, is_v6=sealed.sock.is_v6
        )
        self._limits = limits
        self._table = FlowTable[FlowKey, ClientFlow](most)
        self._ports = FlowPorts()

    # What control says.

    def set_route(self, port: int, route: PortRoute) -> None:
        """Take flows of a port's clients to another service; those to the one before end."""
        for flow in self._ports.set_route(port, route):
            self._end(flow, Code.NO_ROUTE)

    def end_route(self, port: int) -> None:
        """End the flows of a port."""
        for flow in self._ports.end_route(port):
            self._end(flow, Code.NO_ROUTE)

    def end_session(self, session_id: bytes) -> None:
        """End a session's flows: its clients get others with what they send next."""
        session = self.sessions.end(session_id)
        for flow in () if session is None else tuple(session.flows.values()):
            self._forget(flow, Code.SESSION_LOST)
        if session is not None and session.link.carrier is not None:
            session.link.carrier.close()

    def tick(self) -> None:
        """End flows that are idle, and let sessions ask what they have to; it is called each second."""
        now = self._loop.wheel.now
        for flow in self._table.find_idle(now):
            self._end(flow, Code.NORMAL)
        for session in self.sessions:
            session.link.tick(now)
            carrier = session.link.carrier
            idle_s = UNNEEDED_S if session.link.is_up else IDLE_S
            if carrier is not None and carrier.is_idle(now, idle_s):
                carrier.close()

    def take_counters(self) -> tuple[Counters, list[Refused]]:
        """Return what was counted since the last call, and what the log is to say of it."""
        paths = dict.fromkeys((state.value for state in PathState), 0)
        for session in self.sessions:
            paths[session.link.path.state.value] += 1
        return self.counters.take(len(self._table), paths)

    # What clients send.

    def take_datagrams(self, outbox: Outbox, port: int, run: list[bytes], client: Endpoint) -> None:
        """Pass on datagrams of a client; the first one opens its flow."""
        now = self._loop.wheel.now
        key = FlowKey(port, client)
        for data in run:
            flow = self._table.find(key)
            if flow is None:
                try:
                    flow = self._open(key, outbox, now)
                except TowonelError as error:
                    self._refuse(key, error)
                    continue
            self._table.use(key, flow, now)
            self._pass_on(flow, data, now)

    def _pass_on(self, flow: ClientFlow, data: bytes, now: float) -> None:
        if not self._limits.admits(flow.tenant_id, len(data), now):
            self.counters.loss.count(OVER_BANDWIDTH)
            return
        self.counters.take_in(flow.counted_as, len(data))
        link = flow.session.link
        if link.needs_carrier:
            self._open_carrier(flow.session, flow.key.port, now)
        if flow.is_open:
            link.send(flow.number, _DATA, data, now)
        else:
            link.send(flow.number, RecordKind.OPENING, flow.preamble + data, now)

    def _open(self, key: FlowKey, outbox: Outbox, now: float) -> ClientFlow:
        """Return a new flow.

        Raises:
            TowonelError: the client gets none.
        """
        route = self._ports.find_route(key.port)
        if route is None:
            raise Unavailable(Code.NO_ROUTE, f"udp:{key.port}")
        address = unmap(ip_address(key.client.address[0]))
        if route.clients is not None and not route.clients.allows(address):
            raise Denied(Code.CLIENT_NOT_ALLOWED, str(address))
        session = self._choose(route, address.packed, now)
        source = source_of(address)
        self._limits.acquire(source, route.tenant_id, now)
        opened = Preamble(
            Address(address, key.client.address[1]),
            Address(unmap(ip_address(_local_of(outbox.sock, key.client))), key.port),
            route.service,
            port=key.port,
        )
        flow = ClientFlow(
            key, outbox, session, route.service, route.tenant_id, source, preamble.encode(opened)
        )
        self.counters.open(flow.counted_as)
        evicted = self._table.add(key, flow)
        self._ports.add(flow)
        if evicted is not None:
            self._tell_end(evicted, Code.LIMIT_EXCEEDED)
            self._release(evicted, Code.LIMIT_EXCEEDED)
        return flow

    def _open_carrier(self, session: AgentSession, port: int, now: float) -> None:
        """Have a lane carry a session's packets, since UDP does not pass; at most once in a second."""
        if now - session.carried_at < CARRIER_PAUSE_S:
            return
        session.carried_at = now
        try:
            own, other = connect_pair()
        except OSError:
            self.counters.loss.count("no_carrier")
            return

        def take(carrier: Carrier, packet: bytes) -> None:
            self._take_packet(session, packet, carrier)

        session.link.carrier = Carrier(
            self._loop, own, take, session.link.forget_carrier, self._report_crash
        )
        self._offer(session, port, other)

    def _choose(self, route: PortRoute, client: bytes, now: float) -> AgentSession:
        sessions, draw = self.sessions.find(route.tenant_id, route.service), random.randrange
        ordered = self._balancer.order(route.service, sessions, now=now, draw=draw, client=client)
        if not ordered:
            raise Unavailable(Code.NO_AGENT, str(route.service))
        return ordered[0]

    def _refuse(self, key: FlowKey, error: TowonelError) -> None:
        host, port, *_ = key.client.address
        route = self._ports.find_route(key.port)
        peer = str(unmap(ip_address(host))), port
        if route is None:
            self.counters.refuse(error.code, error.detail, peer)
        else:
            service = str(route.service)
            self.counters.refuse(error.code, error.detail, peer, route.tenant_id, service)

    # What agents send.

    def take_packets(self, run: list[bytes], agent: Endpoint) -> None:
        """Pass on what an agent sends."""
        for packet in run:
            session = self.sessions.find_by_index(datagrams.read_index(packet))
            if session is None:
                self.counters.loss.count("unknown_secret")
            else:
                self._take_packet(session, packet, agent)

    def _take_packet(
        self, session: AgentSession, packet: bytes, source: Endpoint | Carrier
    ) -> None:
        now = self._loop.wheel.now
        record = session.link.receive(packet, source, now)
        if record is not None:
            self._take_record(session, record, now)

    def _take_record(self, session: AgentSession, record: Record, now: float) -> None:
        """Act on a record of an agent."""
        flow = session.flows.get(record.flow)
        if flow is None:
            if record.kind in {RecordKind.DATA, RecordKind.OPENED}:
                ended = datagrams.encode_ended(Code.NORMAL)
                session.link.send(record.flow, RecordKind.ENDED, ended, now)
            return
        if record.kind == _DATA:
            self._answer(flow, record.body, now)
            return
        try:
            self._change(flow, record)
        except ProtocolError:
            self.counters.loss.count("malformed")

    def _answer(self, flow: ClientFlow, data: bytes, now: float) -> None:
        self._table.use(flow.key, flow, now)
        if not self._limits.admits(flow.tenant_id, len(data), now):
            self.counters.loss.count(OVER_BANDWIDTH)
            return
        self.counters.take_out(flow.counted_as, len(data))
        flow.outbox.send(data, flow.key.client, self)

    def note_unsent(self, error: OSError, count: int) -> None:
        """Note datagrams that clients do not get, as of `Sender`."""
        # Beside a full buffer: an ICMP error of an earlier datagram, or no way there.
        is_full = isinstance(error, BlockingIOError)
        self.counters.loss.count("send_buffer_full" if is_full else "send_failed", count)

    def _change(self, flow: ClientFlow, record: Record) -> None:
        match record.kind:
            case RecordKind.OPENED:
                flow.is_open = True
                flow.idle_s = float(datagrams.decode_opened(record.body))
                self._balancer.record_success(flow.service, flow.session.session_id)
            case RecordKind.UNKNOWN:
                flow.is_open = False
            case RecordKind.ENDED:
                self._take_end(flow, datagrams.decode_ended(record.body))
            case _:  # of a newer version
                self.counters.loss.count("unknown_kind")

    def _take_end(self, flow: ClientFlow, code: Code) -> None:
        if code not in _NO_FAILURES:
            session_id = flow.session.session_id
            self._balancer.record_failure(flow.service, session_id, self._loop.wheel.now)
        self._forget(flow, code)

    # How flows end.

    def _end(self, flow: ClientFlow, code: Code) -> None:
        self._tell_end(flow, code)
        self._forget(flow, code)

    def _tell_end(self, flow: ClientFlow, code: Code) -> None:
        ended = datagrams.encode_ended(code)
        flow.session.link.send(flow.number, RecordKind.ENDED, ended, self._loop.wheel.now)

    def _forget(self, flow: ClientFlow, code: Code) -> None:
        self._table.remove(flow.key)
        self._release(flow, code)

    def _release(self, flow: ClientFlow, code: Code) -> None:
        flow.session.flows.pop(flow.number, None)
        self._ports.remove(flow)
        self._limits.release(flow.source, flow.tenant_id)
        self.counters.end(flow.counted_as, code)


def _local_of(sock: DatagramSocket, client: Endpoint) -> str:
    return local_host(client.local) if client.local else sock.host
