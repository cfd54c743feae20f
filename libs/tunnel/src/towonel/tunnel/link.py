"""Link: an agent's end of a connection to one edge, which hands over a stream for each client."""

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Generator
from typing import assert_never, override

from towonel.tunnel.channel import Channel, ChannelHandler
from towonel.tunnel.core.close_reason import CloseReason, to_error
from towonel.tunnel.core.events import (
    GoAwayRequested,
    ReportEdgesChanged,
    ReportLanesWanted,
    ReportOfEdge,
    ReportSecret,
)
from towonel.tunnel.core.handshake import AgentHandshake, EdgeIdentity
from towonel.tunnel.core.link_machine import LinkMachine
from towonel.tunnel.core.machine import State
from towonel.tunnel.core.timing import DEFAULT_TIMING, Timing
from towonel.tunnel.quic.configuration import agent_connection
from towonel.tunnel.quic.connection import Connection
from towonel.tunnel.quic.udp import Address, Endpoint, dialing_socket
from towonel.tunnel.stream import Stream
from towonel.tunnel.tcp.connection import TcpConnection
from towonel.tunnel.tcp.secure_socket import SecurePeer
from towonel.tunnel.transport import Transport
from towonel.wire.addresses import format_address
from towonel.wire.errors import Code
from towonel.wire.lane_admission import tls_pool_id

MAX_SECRETS = 2  # of sealed packets: the edge takes no older ones


class Link(ChannelHandler):
    """Link to an edge; `dial` makes it.

    Args:
        edge: to be dialled.
        handshake: answers its challenge.
        on_stream: takes each stream that the edge opens.
        timing: `welcome_s`, and those of the connection.

    Attributes:
        edge: that was dialled.
        address: where it was.
        is_by_tcp: whether it goes over TCP, and carries no streams.
        session_id: the edge's name for this session; empty before its Welcome.
        lane_secret: proves lanes to be of this session; None where the edge has none.
        lanes_wanted: how many the edge wants, by the id of the session or of its pool (`tls_pool_id`), where it
            has said so.
        observe_lanes: called with such an id and number whenever it changes.
        secrets: index and secret of sealed packets that the edge takes, the newest last.
        observe_secret: called with each as it comes.
        observe_edges: called with a number of ms when the edge has heard that its hub lists other edges.
        end_code: the code with which it ended; None until then.
    """

    channel: Channel
    address: Address
    _quic: Connection

    def __init__(
        self,
        edge: EdgeIdentity,
        handshake: AgentHandshake,
        on_stream: Callable[[Stream], None],
        timing: Timing = DEFAULT_TIMING,
    ) -> None:
        self.edge = edge
        self._on_stream = on_stream
        self._timing = timing
        loop = asyncio.get_running_loop()
        self._machine = LinkMachine(edge, handshake, now=loop.time(), timing=timing)
        self._opened: asyncio.Future[None] = loop.create_future()
        self._closed: asyncio.Future[Code] = loop.create_future()
        self.end_code: Code | None = None
        self.answered: asyncio.Future[None] = loop.create_future()  # by the first datagram
        self.peer = ""
        self.is_by_tcp = False
        self._going_away = asyncio.Event()
        self.session_id = b""
        self.lane_secret: bytes | None = None
        self.lanes_wanted: dict[bytes, int] = {}
        self.observe_lanes: Callable[[bytes, int], None] = _ignore_lanes
        self.secrets: deque[tuple[int, bytes]] = deque(maxlen=MAX_SECRETS)
        self.observe_secret: Callable[[int, bytes], None] = _ignore_secret
        self.observe_edges: Callable[[int], None] = _ignore_edges

    @contextlib.contextmanager
    def connect(self, peer: Address, by_tcp: SecurePeer | None = None) -> Generator[None]:
        """Hold a connection, its handshake begun, and close it at the end.

        Args:
            peer: address of the edge.
            by_tcp: connected to it, for a link without streams; None for QUIC.

        Raises:
            OSError: there is no route to the address.
        """
        self.address = peer
        self.peer = format_address(*peer[:2])
        self.is_by_tcp = by_tcp is not None
        with self._connect_by_quic(peer) if by_tcp is None else self._connect_by_tcp(by_tcp):
            yield

    @property
    def active(self) -> int:
        """Number of open streams."""
        return self.channel.streams.count

    @property
    def is_serving(self) -> bool:
        """Whether the edge hands over new clients: it has not sent GoAway, and is there."""
        return self._machine.state is State.OPEN

    async def wait_opened(self) -> None:
        """Return once the edge has let this agent in.

        Raises:
            TowonelError: why it did not.
        """
        await asyncio.shield(self._opened)

    async def wait_going_away(self) -> None:
        """Return once the edge has sent GoAway."""
        await self._going_away.wait()

    async def wait_closed(self) -> Code:
        """Return the code with which the link ended, once it has."""
        return await asyncio.shield(self._closed)

    def go_away(self) -> None:
        """Ask the edge for no more streams."""
        self.channel.request(GoAwayRequested())

    def close(self, code: Code) -> None:
        """End the link and every stream on it."""
        self.channel.close(CloseReason(code))

    @override
    def on_stream(self, stream: Stream) -> None:
        self._on_stream(stream)

    @override
    def on_opened(self) -> None:
        self.session_id, self.lane_secret = self._machine.session_id, self._machine.lane_secret
        self._opened.set_result(None)

    @override
    def on_refused(self, reason: CloseReason) -> None:
        self._opened.set_exception(to_error(reason))
        self._opened.exception()  # read here: the dialler may have stopped waiting
        self._end(reason.code)

    @override
    def on_going_away(self) -> None:
        self._going_away.set()

    @override
    def on_edge_report(self, report: ReportOfEdge) -> None:
        match report:
            case ReportLanesWanted(count, inside_tls):
                pool_id = tls_pool_id(self.session_id) if inside_tls else self.session_id
                self.lanes_wanted[pool_id] = count
                self.observe_lanes(pool_id, count)
            case ReportSecret(index, secret):
                self.secrets.append((index, secret))
                self.observe_secret(index, secret)
            case ReportEdgesChanged(within_ms):
                self.observe_edges(within_ms)
            case _:
                assert_never(report)

    @override
    def on_ended(self, reason: CloseReason) -> None:
        self._end(reason.code)

    @contextlib.contextmanager
    def _connect_by_quic(self, peer: Address) -> Generator[None]:
        endpoint = Endpoint(dialing_socket(peer), self._receive)
        quic = agent_connection(self.edge.certificate_pem, self._timing)
        self._quic = connection = Connection(
            quic,
            endpoint.send,
            self._make_channel,
            keepalive_s=self._timing.agent_keepalive_s,
            timing=self._timing,
        )
        try:
            connection.connect(peer)
            yield
        finally:
            connection.close(CloseReason(Code.NORMAL))
            endpoint.close()

    @contextlib.contextmanager
    def _connect_by_tcp(self, peer: SecurePeer) -> Generator[None]:
        connection = TcpConnection(
            peer.sock,
            self.peer,
            self._make_channel,
            check_peer=peer.check,
            keepalive_s=self._timing.agent_keepalive_s,
            timing=self._timing,
        )
        try:
            yield
        finally:
            connection.close(CloseReason(Code.NORMAL))

    def _end(self, code: Code) -> None:
        self.end_code = code
        self._closed.set_result(code)

    def _receive(self, data: bytes, address: Address) -> None:
        if not self.answered.done():
            self.answered.set_result(None)
        self._quic.receive(data, address)

    def _make_channel(self, connection: Transport) -> Channel:
        self.channel = Channel(connection, self._machine, self, opens=False)
        return self.channel


def _ignore_lanes(_pool_id: bytes, _count: int) -> None:
    """Dial none."""


def _ignore_secret(_index: int, _secret: bytes) -> None:
    """Seal nothing."""


def _ignore_edges(_within_ms: int) -> None:
    """Ask the hub when it is time."""
