"""Session of an edge, as an agent's flow worker knows it."""

import socket
from typing import TYPE_CHECKING, Final

from towonel.identity.datagrams import DatagramEnd
from towonel.relay.core.datagram_path import PathState
from towonel.relay.flows.outbox import Outbox, Sender
from towonel.relay.flows.reader import DatagramReader
from towonel.relay.flows.session import FlowSession
from towonel.relay.flows.sockets import (
    DatagramSocket,
    Endpoint,
    SocketAddress,
    enlarge_buffers,
    forbid_fragmentation,
)

if TYPE_CHECKING:
    from towonel.agent.flows.flows import Flows

REOPEN_S: Final = 5.0  # between sockets while packets do not pass: another may have a way


class EdgeSession:
    """Session of an edge: a UDP socket connected to it, and what it seals.

    Args:
        session_id: of the session.
        address: of the edge.
        flows: of the agent.
    """

    def __init__(self, session_id: bytes, address: SocketAddress, flows: "Flows") -> None:
        self.session_id = session_id
        self._endpoint = Endpoint(address)
        self._flows = flows
        self._reader: DatagramReader | None = None
        self._outbox: Outbox | None = None
        self._opened_at = flows.now
        self.link = FlowSession(
            DatagramEnd.AGENT,
            flows.now,
            self._transmit,
            flows.counters.loss,
            is_v6=":" in address[0],
            first_counter=flows.first_counter,
        )
        self.link.peer.note_packet(self._endpoint, 0, is_newest=True)
        self.link.peer.validate()
        self._open()

    def tick(self, now: float) -> None:
        """Keep the way open, or look for another."""
        is_down = self.link.path.state is PathState.DOWN
        if is_down and now - self._opened_at >= REOPEN_S:
            self._close_socket()
            self._open()
        self.link.tick(now)

    def close(self) -> None:
        """Close the socket, and the carrier if there is one."""
        if self.link.carrier is not None:
            self.link.carrier.close()
        self._close_socket()

    def _close_socket(self) -> None:
        if self._reader is not None and self._outbox is not None:
            self._outbox.flush()
            self._reader.close()
            self._reader = self._outbox = None

    def _open(self) -> None:
        self._opened_at = self._flows.now
        address = self._endpoint.address
        sock = socket.socket(
            socket.AF_INET6 if ":" in address[0] else socket.AF_INET, socket.SOCK_DGRAM
        )
        try:
            sock.setblocking(False)
            enlarge_buffers(sock)
            forbid_fragmentation(sock)
            sock.connect(address)
        except OSError:  # there is no way to the edge now
            sock.close()
            return
        take = self._take_packets
        loop, report_crash = self._flows.loop, self._flows.report_crash
        connected = DatagramSocket(sock, self._endpoint)
        self._reader = DatagramReader(loop, connected, take, report_crash)
        self._outbox = Outbox(loop, connected, report_crash)

    def _transmit(self, packet: bytes, endpoint: Endpoint, sender: Sender) -> None:
        if self._outbox is None:
            sender.note_unsent(OSError("there is no way to the edge"), 1)
        else:
            self._outbox.send(packet, endpoint, sender)

    def _take_packets(self, packets: list[bytes], endpoint: Endpoint) -> None:
        for packet in packets:
            self._flows.take_packet(self, packet, endpoint)
