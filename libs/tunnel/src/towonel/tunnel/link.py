"""Link: an agent's end of a connection to one edge, which hands over a stream for each client."""

import asyncio
import contextlib
from collections.abc import Callable, Generator
from typing import override

from towonel.tunnel.channel import Channel, ChannelHandler
from towonel.tunnel.core.close_reason import CloseReason, to_error
from towonel.tunnel.core.events import GoAwayRequested, RenewRequested
from towonel.tunnel.core.handshake import AgentHandshake, EdgeIdentity
from towonel.tunnel.core.link_machine import LinkMachine
from towonel.tunnel.core.machine import State
from towonel.tunnel.core.timing import DEFAULT_TIMING, Timing
from towonel.tunnel.quic.configuration import agent_connection
from towonel.tunnel.quic.connection import Connection
from towonel.tunnel.quic.udp import Address, Endpoint, dialing_socket
from towonel.tunnel.stream import Stream
from towonel.wire.addresses import format_address
from towonel.wire.errors import Code


class Link(ChannelHandler):
    """Link to an edge; `dial` makes it.

    Args:
        edge: to be dialled.
        handshake: answers its challenge.
        on_stream: takes each stream that the edge opens.
        timing: `welcome_s`, and those of the connection.
    """

    channel: Channel

    def __init__(
        self,
        edge: EdgeIdentity,
        handshake: AgentHandshake,
        on_stream: Callable[[Stream], None],
        timing: Timing = DEFAULT_TIMING,
    ) -> None:
        self._edge = edge
        self._on_stream = on_stream
        self._timing = timing
        loop = asyncio.get_running_loop()
        self._machine = LinkMachine(edge, handshake, now=loop.time(), timing=timing)
        self._opened: asyncio.Future[None] = loop.create_future()
        self.closed: asyncio.Future[Code] = loop.create_future()  # with what it ended
        self.answered: asyncio.Future[None] = loop.create_future()  # by the first datagram
        self.peer = ""
        self._going_away = asyncio.Event()

    @contextlib.contextmanager
    def connect(self, peer: Address) -> Generator[None]:
        """Hold a connection, its handshake begun, and close it at the end.

        Raises:
            OSError: there is no route to the address.
        """
        self.peer = format_address(*peer[:2])
        endpoint = Endpoint(dialing_socket(peer), self._receive)
        quic = agent_connection(self._edge.certificate_pem, self._timing)
        connection = Connection(
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

    @property
    def session_id(self) -> bytes:
        """The edge's name for this session; empty before its Welcome."""
        return self._machine.session_id

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
        return await asyncio.shield(self.closed)

    def go_away(self) -> None:
        """Ask the edge for no more streams."""
        self.channel.request(GoAwayRequested())

    def renew(self, grant: bytes) -> None:
        """Show the edge a newer grant."""
        self.channel.request(RenewRequested(grant))

    def close(self, code: Code) -> None:
        """End the link and every stream on it."""
        self.channel.close(CloseReason(code))

    @override
    def on_stream(self, stream: Stream) -> None:
        self._on_stream(stream)

    @override
    def on_opened(self) -> None:
        self._opened.set_result(None)

    @override
    def on_refused(self, reason: CloseReason) -> None:
        self._opened.set_exception(to_error(reason))
        self._opened.exception()  # read here: the dialler may have stopped waiting
        self.closed.set_result(reason.code)

    @override
    def on_going_away(self) -> None:
        self._going_away.set()

    @override
    def on_ended(self, reason: CloseReason) -> None:
        self.closed.set_result(reason.code)

    def _receive(self, data: bytes, address: Address) -> None:
        if not self.answered.done():
            self.answered.set_result(None)
        self.channel.connection.receive(data, address)

    def _make_channel(self, connection: Connection) -> Channel:
        self.channel = Channel(connection, self._machine, self, opens=False)
        return self.channel
