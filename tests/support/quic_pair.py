"""Two ends of a QUIC connection in memory, of which the client may be of no scruples."""

from collections.abc import Iterable

from aioquic.buffer import Buffer  # type: ignore[attr-defined]
from aioquic.quic.packet import pull_quic_header
from support.raw_quic import CONTROL, packet
from support.tunnel import EDGE, PEM

from towonel.tunnel.core.bounds.receive_windows import EDGE_SIZES
from towonel.tunnel.quic.bounded_connection import BoundedConnection
from towonel.tunnel.quic.bounded_stream import BoundedReceiver
from towonel.tunnel.quic.configuration import agent_connection, edge_configuration
from towonel.tunnel.quic.stateless_reset import StatelessResetter

HERE, THERE = ("192.0.2.1", 1), ("192.0.2.2", 2)
RESETTER = StatelessResetter(b"k" * 32, now=0)


class Pair:
    """An agent's client and an edge's server of a kind, and a clock that a test moves."""

    def __init__(self, kind: type[BoundedConnection] = BoundedConnection) -> None:
        self.now = 0.0
        self.client = agent_connection(PEM)
        self.client.connect(HERE, now=0)
        first = self.client.datagrams_to_send(now=0)
        header = pull_quic_header(Buffer(data=first[0][0]), host_cid_length=8)
        self.edge = kind(
            edge_configuration(EDGE, PEM),
            EDGE_SIZES,
            streams=0,
            make_reset_token=RESETTER.make_token,
            original_id=header.destination_cid,
        )
        self.to_edge(data for data, _ in first)

    def to_edge(self, datagrams: Iterable[bytes]) -> None:
        for data in datagrams:
            self.edge.receive_datagram(data, THERE, now=self.now)

    def exchange(self, rounds: int = 8) -> "Pair":
        """Let both ends speak until they are silent."""
        for _ in range(rounds):
            self.now += 0.05
            for end in (self.edge, self.client):
                if (due := end.get_timer()) is not None and due <= self.now:
                    end.handle_timer(now=self.now)
            for data, _ in self.edge.datagrams_to_send(now=self.now):
                self.client.receive_datagram(data, HERE, now=self.now)
            self.to_edge(data for data, _ in self.client.datagrams_to_send(now=self.now))
        return self

    def open(self) -> "Pair":
        """Complete the handshake; the edge has opened the control stream."""
        self.exchange()
        self.edge.send_stream_data(CONTROL, b"hello")
        return self.exchange()

    def attack(self, *frames: bytes) -> None:
        self.to_edge([packet(self.client, *frames)])

    @property
    def close_code(self) -> int | None:
        event = self.edge._close_event
        return None if event is None else event.error_code

    @property
    def receiver(self) -> BoundedReceiver:
        receiver = self.edge._streams[CONTROL].receiver
        assert isinstance(receiver, BoundedReceiver)
        return receiver
