"""Flows of an edge in front of agents that the test speaks for, on loopback."""

import contextlib
import socket
from dataclasses import dataclass, field

from support.flow_loops import FlowLoop

from towonel.edge.core.shared_use import COLUMNS, SharedLimits
from towonel.edge.flows.client_flow import PortRoute
from towonel.edge.flows.flows import Flows
from towonel.edge.flows.limits import FlowLimits
from towonel.edge.flows.messages import Counters, SessionAdmitted, SessionServices, Start
from towonel.edge.flows.sessions import AgentSession
from towonel.identity.datagrams import DatagramEnd
from towonel.relay.core.datagram_path import PathState
from towonel.relay.flows.outbox import Outbox, Sender
from towonel.relay.flows.reader import DatagramReader
from towonel.relay.flows.session import DatagramLoss, FlowSession
from towonel.relay.flows.sockets import DatagramSocket, Endpoint, bind_datagrams
from towonel.wire import preamble
from towonel.wire.errors import Code
from towonel.wire.ids import TenantId
from towonel.wire.names import ServiceKey, ServiceKind
from towonel.wire.preamble import Preamble
from towonel.wire.session.balance_hints import DEFAULT_WEIGHT
from towonel.wire.udp import datagrams
from towonel.wire.udp.datagrams import Record, RecordKind

SERVICE = ServiceKey(ServiceKind.UDP, "game")
TENANT = TenantId(b"t" * 32)
SECRET = b"of limits"
PORT, IDLE_S, LOOPBACK = 5000, 30, "127.0.0.1"
LIMITS = Start(flows=100, per_source=100, per_tenant=100, report_s=1.0)


def loopback() -> socket.socket:
    """Return a non-blocking socket with a port of its own."""
    return bind_datagrams(LOOPBACK, 0)


@dataclass
class FlowAgent:
    """Agent of one session.

    Attributes:
        received: records of the edge.
    """

    id: bytes
    index: int
    edge: Endpoint
    loop: FlowLoop
    received: list[Record] = field(default_factory=list[Record])
    loss: DatagramLoss = field(default_factory=DatagramLoss)

    def __post_init__(self) -> None:
        self.sock = loopback()
        self.link = FlowSession(
            DatagramEnd.AGENT, self.loop.now, self._transmit, self.loss, is_v6=False
        )
        self.link.peer.note_packet(self.edge, 0, is_newest=True)
        self.link.peer.validate()
        self.link.add_secret(self.index, self.secret)

    @property
    def secret(self) -> bytes:
        """Secret of the session."""
        return self.id.ljust(32, b".")

    def _transmit(self, packet: bytes, endpoint: Endpoint, _: Sender) -> None:
        self.sock.sendto(packet, endpoint.address)

    def send(self, flow: int, kind: int, body: bytes = b"") -> None:
        """Send a record."""
        self.link.send(flow, kind, body, self.loop.now)

    def open(self, flow: int) -> None:
        """Say that a flow is open."""
        self.send(flow, RecordKind.OPENED, datagrams.encode_opened(IDLE_S))

    def end(self, flow: int, code: Code = Code.NORMAL) -> None:
        """Say that a flow has ended."""
        self.send(flow, RecordKind.ENDED, datagrams.encode_ended(code))

    def read(self) -> list[Record]:
        """Read what has come, and return the records of flows."""
        with contextlib.suppress(BlockingIOError):
            while True:
                packet = self.sock.recv(65_535)
                record = self.link.receive(packet, self.edge, self.loop.now)
                if record is not None:
                    self.received.append(record)
        return self.received

    def take(self) -> list[Record]:
        """Return the records that have come, once."""
        found = [*self.read()]
        self.received.clear()
        return found


class EdgeFlows:
    """Flows of an edge, with one port, and agents on demand.

    Attributes:
        rows: of the use of limits, this edge's and that of a worker.
        limits: of its flows.
        offered: sessions that got a carrier, and its other end.
    """

    def __init__(self, limits: Start = LIMITS) -> None:
        self.loop = FlowLoop()
        self.agents: list[FlowAgent] = []
        self.clients: list[socket.socket] = []
        self.offered: list[tuple[AgentSession, int, socket.socket]] = []
        sealed = loopback()
        self._edge = Endpoint(sealed.getsockname())
        loop, report = self.loop.loop, self.loop.crashes.append
        sock = DatagramSocket(sealed)
        outbox = Outbox(loop, sock, report)
        self.rows = [memoryview(bytearray(4 * COLUMNS)).cast("I") for _ in range(2)]
        self.limits = FlowLimits(limits, SharedLimits(self.rows, 0, SECRET))
        self.flows = Flows(limits.flows, self.limits, loop, outbox, self._offer, report)
        self._readers = [DatagramReader(loop, sock, self.flows.take_packets, report)]
        self.ports: dict[int, int] = {}
        self.open_port(PORT)

    def _offer(self, session: AgentSession, port: int, sock: socket.socket) -> None:
        self.offered.append((session, port, sock))

    def open_port(
        self, port: int, service: ServiceKey = SERVICE, tenant_id: TenantId = TENANT
    ) -> None:
        """Serve a service on a port, which has another number on loopback."""
        made = loopback()
        self.ports[port] = made.getsockname()[1]
        sock = DatagramSocket(made)
        outbox = Outbox(self.loop.loop, sock, self.loop.crashes.append)

        def take(run: list[bytes], client: Endpoint) -> None:
            self.flows.take_datagrams(outbox, port, run, client)

        self._readers.append(DatagramReader(self.loop.loop, sock, take, self.loop.crashes.append))
        self.flows.set_route(port, PortRoute(service, tenant_id))

    def add_agent(
        self,
        service: ServiceKey = SERVICE,
        tenant_id: TenantId = TENANT,
        *,
        is_up: bool = True,
        group: str = "default",
        weight: int = DEFAULT_WEIGHT,
    ) -> FlowAgent:
        """Admit an agent whose packets pass, or do not."""
        number = len(self.agents) + 1
        agent = FlowAgent(b"agent-%d" % number, number, self._edge, self.loop)
        self.agents.append(agent)
        sessions = self.flows.sessions
        admitted = SessionAdmitted(agent.id, tenant_id, agent.id, group, weight)
        sessions.add(admitted, self.loop.now)
        sessions.add_secret(agent.id, agent.index, agent.secret)
        sessions.change_services(SessionServices(agent.id, (service.name,)))
        while is_up and agent.link.path.state is not PathState.UP:
            agent.link.tick(self.loop.now)
            self.loop.turn()
            agent.take()
            self.loop.turn()
        return agent

    def add_client(self, port: int = PORT, host: str = LOOPBACK) -> socket.socket:
        """Return a client of a port."""
        sock = bind_datagrams(host, 0)
        sock.connect((LOOPBACK, self.ports[port]))
        self.clients.append(sock)
        return sock

    def send(self, client: socket.socket, data: bytes = b"x") -> None:
        """Let a client send, and the edge act on it."""
        client.send(data)
        self.loop.turn()

    def begin(
        self, agent: FlowAgent, client: socket.socket | None = None
    ) -> tuple[socket.socket, int]:
        """Open a flow; return its client and its number."""
        client = client or self.add_client()
        self.send(client)
        number = agent.take()[-1].flow
        agent.open(number)
        self.loop.turn()
        return client, number

    def take_counters(self) -> Counters:
        """Return what was counted since the last call."""
        return self.flows.take_counters()[0]

    def close(self) -> None:
        """Close all that there is."""
        for reader in self._readers:
            reader.close()
        for session, _, sock in self.offered:
            sock.close()
            self.flows.end_session(session.session_id)
        for sock in (*self.clients, *(agent.sock for agent in self.agents)):
            sock.close()
        self.loop.close()


def read_opening(record: Record) -> tuple[Preamble, bytes]:
    """Return the preamble of a record that opens a flow, and the datagram behind."""
    assert record.kind == RecordKind.OPENING
    found = preamble.read(record.body)
    assert found is not None
    return found[0], record.body[found[1] :]


def datagrams_to(client: socket.socket) -> list[bytes]:
    """Return what a client has got."""
    found: list[bytes] = []
    with contextlib.suppress(BlockingIOError):
        while True:
            found.append(client.recv(65_535))
    return found
