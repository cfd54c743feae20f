"""Both ends of a session's flows, joined by lists instead of a network."""

import errno
from dataclasses import dataclass, field

from towonel.identity.datagrams import DatagramEnd
from towonel.relay.core.datagram_path import KEEPALIVE_S
from towonel.relay.flows.carrier import Carrier
from towonel.relay.flows.outbox import Sender
from towonel.relay.flows.session import DatagramLoss, FlowSession
from towonel.relay.flows.sockets import Endpoint
from towonel.wire.udp.datagrams import Record

EDGE, AGENT = Endpoint(("192.0.2.1", 443)), Endpoint(("198.51.100.7", 40_000))
INDEX, SECRET = 7, bytes(range(32))


@dataclass
class FlowEnd:
    """One end: what it has sent, and records that have come.

    Attributes:
        largest: packet that its network takes, in bytes.
        interface: largest packet that its machine sends, in bytes.
        error: of each send.
    """

    end: DatagramEnd
    now: float = 0.0
    sent: list[tuple[bytes, Endpoint]] = field(default_factory=list[tuple[bytes, Endpoint]])
    received: list[Record] = field(default_factory=list[Record])
    loss: DatagramLoss = field(default_factory=DatagramLoss)
    largest: int = 65_535
    interface: int = 65_535
    error: OSError | None = None
    session: FlowSession = field(init=False)

    def __post_init__(self) -> None:
        self.session = FlowSession(self.end, self.now, self._transmit, self.loss, is_v6=False)

    def _transmit(self, packet: bytes, endpoint: Endpoint, sender: Sender) -> None:
        if self.error is not None:
            sender.note_unsent(self.error, 1)
        elif len(packet) > self.interface:
            sender.note_unsent(OSError(errno.EMSGSIZE, "too long"), 1)
        else:
            self.sent.append((packet, endpoint))

    def send(self, kind: int, body: bytes = b"", flow: int = 1) -> None:
        """Send a record."""
        self.session.send(flow, kind, body, self.now)

    def take(self) -> list[bytes]:
        """Return the packets that were sent, once."""
        packets = [packet for packet, _ in self.sent]
        self.sent.clear()
        return packets

    def receive(self, packets: list[bytes], source: Endpoint) -> None:
        """Let packets come from an address."""
        for packet in packets:
            record = self.session.receive(packet, source, self.now)
            if record is not None:
                self.received.append(record)

    def take_carried(self, packet: bytes, carrier: Carrier) -> None:
        """Let a packet come by a carrier."""
        record = self.session.receive(packet, carrier, self.now)
        if record is not None:
            self.received.append(record)


class FlowPair:
    """Edge and agent that have a secret, on a network that loses only what is too large for it."""

    def __init__(self, *, has_secret: bool = True) -> None:
        self.edge = FlowEnd(DatagramEnd.EDGE)
        self.agent = FlowEnd(DatagramEnd.AGENT)
        self.agent_address = AGENT
        self.agent.session.peer.note_packet(EDGE, 0, is_newest=True)
        self.agent.session.peer.validate()
        if has_secret:
            self.add_secret(INDEX, SECRET)

    def add_secret(self, index: int, secret: bytes) -> None:
        """Give both ends a secret."""
        self.edge.session.add_secret(index, secret)
        self.agent.session.add_secret(index, secret)

    def carry(self) -> None:
        """Carry all packets that there are, and what they cause."""
        while self.edge.sent or self.agent.sent:
            to_edge = [each for each in self.agent.take() if len(each) <= self.agent.largest]
            self.edge.receive(to_edge, self.agent_address)
            to_agent = [each for each in self.edge.take() if len(each) <= self.edge.largest]
            self.agent.receive(to_agent, EDGE)

    def tick(self, after_s: float = KEEPALIVE_S) -> None:
        """Let time pass, and both ends ask what they have to."""
        self.edge.now = self.agent.now = self.edge.now + after_s
        self.agent.session.tick(self.agent.now)
        self.edge.session.tick(self.edge.now)

    def connect(self) -> None:
        """Let both ends find the path, and the size of its packets."""
        for _ in range(3):
            self.tick()
            self.carry()
        assert self.edge.session.is_up
        assert self.agent.session.is_up
