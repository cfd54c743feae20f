"""Flows of an agent between origins and edges that the test speaks for, on loopback."""

import contextlib
import socket
from collections.abc import Iterable
from ipaddress import ip_address
from pathlib import Path

from support.flow_agents import SERVICE, loopback
from support.flow_loops import FlowLoop

from towonel.agent.flows.flows import Flows
from towonel.agent.worker.messages import Addresses, OriginFacts, Ports, ServiceName, name_service
from towonel.identity.datagrams import DatagramEnd
from towonel.relay.flows.outbox import Sender
from towonel.relay.flows.session import DatagramLoss, FlowSession
from towonel.relay.flows.sockets import Endpoint
from towonel.wire import preamble
from towonel.wire.errors import Code
from towonel.wire.names import ServiceKey
from towonel.wire.preamble import Preamble
from towonel.wire.proxy import Address
from towonel.wire.udp import datagrams
from towonel.wire.udp.datagrams import Record, RecordKind

IDLE_S, UNANSWERED = 30, 10_000
PREAMBLE_SOURCE = Address(ip_address("192.0.2.9"), 1234)
NAME: ServiceName = name_service(SERVICE)


def opening(
    data: bytes,
    service: ServiceKey = SERVICE,
    client: Address = PREAMBLE_SOURCE,
    port: int | None = None,
) -> bytes:
    """Return the body of OPENING."""
    to = Address(ip_address("198.51.100.1"), 53)
    return preamble.encode(Preamble(client, to, service, port=port)) + data


class FlowEdge:
    """Edge of one session, which has heard the agent."""

    def __init__(self, agent: "AgentFlows", number: int) -> None:
        self._agent = agent
        self.id = b"edge-%d" % number
        self.index, self.secret = number, bytes([number]) * 32
        self.sock = loopback()
        self.loss = DatagramLoss()
        self.link = FlowSession(
            DatagramEnd.EDGE, agent.loop.now, self._transmit, self.loss, is_v6=False
        )
        self.link.add_secret(self.index, self.secret)

    def _transmit(self, packet: bytes, endpoint: Endpoint, _: Sender) -> None:
        self.sock.sendto(packet, endpoint.address)

    def send(self, flow: int, kind: int, body: bytes = b"") -> None:
        """Send a record, and let the agent act on it."""
        self.link.send(flow, kind, body, self._agent.loop.now)
        self._agent.loop.turn()

    def open(self, flow: int, data: bytes = b"x") -> None:
        """Open a flow."""
        self.send(flow, RecordKind.OPENING, opening(data))

    def take(self) -> list[Record]:
        """Return the records that have come, once."""
        found: list[Record] = []
        self._agent.loop.turn()
        with contextlib.suppress(BlockingIOError):
            while True:
                packet, address = self.sock.recvfrom(65_535)
                record = self.link.receive(packet, Endpoint(address), self._agent.loop.now)
                if record is not None:
                    found.append(record)
        self._agent.loop.turn()
        return found


class AgentFlows:
    """Flows of an agent, with edges on demand.

    Attributes:
        requests: services whose origins' addresses were asked for.
    """

    def __init__(self, limit: int = 100) -> None:
        self.loop = FlowLoop()
        self.requests: list[ServiceKey] = []
        self.edges: list[FlowEdge] = []
        self.origins: list[socket.socket] = []
        self.flows = Flows(self.loop.loop, limit, 0, self.requests.append, self.loop.crashes.append)

    def set_origin(
        self,
        addresses: Addresses | None,
        *,
        name: ServiceName = NAME,
        unanswered: int = UNANSWERED,
        ports: Ports | None = None,
    ) -> None:
        """Serve an origin at some addresses, or one that has a name."""
        facts: OriginFacts = (name, False, addresses, float(IDLE_S), unanswered, ports, None)
        self.flows.set_origins((facts,))

    def add_origin(self, *, unanswered: int = UNANSWERED) -> socket.socket:
        """Serve an origin that the test speaks for."""
        sock = loopback()
        self.origins.append(sock)
        self.set_origin((sock.getsockname(),), unanswered=unanswered)
        return sock

    def add_edge(self) -> FlowEdge:
        """Admit to an edge."""
        edge = FlowEdge(self, len(self.edges) + 1)
        self.edges.append(edge)
        self.flows.add_session(edge.id, edge.sock.getsockname())
        self.flows.add_secret(edge.id, edge.index, edge.secret)
        while not edge.link.peer.is_valid:
            edge.take()
        return edge

    def close(self) -> None:
        """Close all that there is."""
        for edge in self.edges:
            self.flows.end_session(edge.id)
        close_all([*self.origins, *(edge.sock for edge in self.edges)])
        self.loop.close()


def close_all(socks: Iterable[socket.socket]) -> None:
    """Close sockets."""
    for sock in socks:
        sock.close()


def ended(flow: int, code: Code = Code.NORMAL) -> Record:
    """Return the record that ends a flow."""
    return Record(flow, RecordKind.ENDED, datagrams.encode_ended(code))


def opened(flow: int) -> Record:
    """Return the record that opens a flow."""
    return Record(flow, RecordKind.OPENED, datagrams.encode_opened(IDLE_S))


def count_descriptors() -> int:
    """Return how many descriptors this process has."""
    return len(list(Path("/proc/self/fd").iterdir()))


def receive_all(sock: socket.socket) -> list[tuple[bytes, tuple[str, int]]]:
    """Return what has come to an origin, and where from."""
    found: list[tuple[bytes, tuple[str, int]]] = []
    with contextlib.suppress(BlockingIOError):
        while True:
            found.append(sock.recvfrom(65_535))
    return found
