"""An agent's view of one edge: dialled, admitted, then handed one stream per client."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Generator
from typing import Self, override

from towonel.identity.keys import NodeKey
from towonel.tunnel.channel import Channel, ChannelHandler
from towonel.tunnel.close_reason import CloseReason, to_error
from towonel.tunnel.connection import Connection
from towonel.tunnel.handshake import AgentHandshake, EdgeIdentity
from towonel.tunnel.pipe import Pipe
from towonel.tunnel.quic import agent_connection
from towonel.tunnel.session import ACCEPTED
from towonel.tunnel.stream import Stream
from towonel.tunnel.udp import Address, Endpoint, dialing_socket, resolve
from towonel.wire import preamble as preambles
from towonel.wire.errors import Code, ProtocolError, TowonelError, Unavailable
from towonel.wire.messages import Challenge, GoAway, Message, Renew, Welcome
from towonel.wire.names import ServiceKey
from towonel.wire.preamble import MAX_PREAMBLE_BYTES, Preamble

HANDSHAKE_TIMEOUT_S = 5.0  # to the edge's Welcome
PREAMBLE_TIMEOUT_S = 5.0


class Incoming:
    """One client that an edge hands over: to be accepted once its origin is there, or rejected."""

    def __init__(self, preamble: Preamble, stream: Stream) -> None:
        self.preamble = preamble
        self._stream = stream

    async def accept(self) -> Pipe:
        """Tell the edge that the origin is there, and return the way to the client.

        Raises:
            TowonelError: the edge or the client is gone.
        """
        await self._stream.write(ACCEPTED)
        return self._stream

    def reject(self, code: Code) -> None:
        """Send the client elsewhere; the edge has its first bytes still."""
        self._stream.abort(code)


type Handle = Callable[[Incoming], Awaitable[None]]


class Link(ChannelHandler):
    """One connection to an edge; `dial` makes it."""

    channel: Channel

    def __init__(
        self, edge: EdgeIdentity, handshake: AgentHandshake, on_stream: Callable[[Stream], None]
    ) -> None:
        self._edge = edge
        self._handshake = handshake
        self._on_stream = on_stream
        loop = asyncio.get_running_loop()
        self._welcome: asyncio.Future[None] = loop.create_future()
        self._ended: asyncio.Future[CloseReason] = loop.create_future()
        self._has_answered = False
        self.session_id = b""
        self.going_away = asyncio.Event()

    @contextlib.contextmanager
    def connected(self, peer: Address) -> Generator[None]:
        """Hold the connection, its handshake begun, and close it at the end."""
        endpoint = Endpoint(dialing_socket(peer), self._receive)
        quic = agent_connection(self._edge.certificate_pem)
        connection = Connection(quic, endpoint.send, self._make_channel)
        try:
            connection.connect(peer)
            yield
        finally:
            connection.close(CloseReason(Code.NORMAL))
            endpoint.close()

    @property
    def active(self) -> int:
        """Streams that are open."""
        return self.channel.streams.count

    async def wait_welcomed(self) -> None:
        """Return once the edge has let this agent in.

        Raises:
            TowonelError: why it did not.
        """
        await asyncio.shield(self._welcome)

    async def wait_closed(self) -> Code:
        """Return the code with which the link ended, once it has."""
        return (await asyncio.shield(self._ended)).code

    def go_away(self) -> None:
        """Ask the edge for no more streams."""
        self.channel.send(GoAway())

    def renew(self, grant: bytes) -> None:
        """Show the edge a newer grant."""
        self.channel.send(Renew(grant))

    def close(self, code: Code) -> None:
        """End the link and every stream on it."""
        self.channel.close(code)

    def _receive(self, data: bytes, address: Address) -> None:
        self.channel.connection.receive(data, address)

    def _make_channel(self, connection: Connection) -> Channel:
        self.channel = Channel(connection, self, opens=False)
        return self.channel

    @override
    def established(self) -> None:
        return  # the edge speaks first

    @override
    def message(self, message: Message) -> None:
        match message:
            case Challenge() if not self._has_answered:
                self._has_answered = True
                self.channel.send(self._handshake.answer(message, self._edge))
                # The edge is proved by its certificate; its streams may overtake its Welcome.
                self.channel.is_admitted = True
            case Welcome() if self._has_answered and not self._welcome.done():
                self.session_id = message.session_id
                self._welcome.set_result(None)
            case GoAway() if self._welcome.done():
                self.going_away.set()
            case _:
                raise ProtocolError(Code.UNEXPECTED_MESSAGE, type(message).__name__)

    @override
    def incoming(self, stream: Stream) -> None:
        self._on_stream(stream)

    @override
    def ended(self, ending: CloseReason) -> None:
        if not self._welcome.done():
            self._welcome.set_exception(to_error(ending))
            self._welcome.exception()  # read here: the dialler may have stopped waiting
        self._ended.set_result(ending)


@contextlib.asynccontextmanager
async def dial(
    address: tuple[str, int],
    *,
    edge: EdgeIdentity,
    key: NodeKey,
    grant: bytes,
    services: Collection[ServiceKey],
    handle: Handle,
    software: str,
) -> AsyncGenerator[Link]:
    """Link to an edge while the context lasts; its end closes the link and every stream.

    Args:
        address: host and UDP port.
        edge: as the hub names it: nothing else is trusted.
        key: the agent's.
        grant: the hub's word for that key.
        services: what this agent serves.
        handle: takes each client; it runs in a task of its own.
        software: who we are, for the edge's log; at most 64 characters.

    Raises:
        Denied: with the edge's code, or CERTIFICATE_MISMATCH, EDGE_UNKNOWN.
        ProtocolError: UNSUPPORTED_VERSION and the like.
        Unavailable: SESSION_LOST where there is no answer within 5 s.
        OSError: where the name does not resolve.
    """
    edge.check()
    peer = await _resolve(address)
    introduction = AgentHandshake(key, grant, services, software)
    try:
        async with asyncio.TaskGroup() as tasks, _Streams(tasks, handle) as streams:
            link = Link(edge, introduction, streams.serve)
            with link.connected(peer):
                await _wait_welcomed(link)
                yield link
    except BaseExceptionGroup as group:  # of one: streams fail on their own
        raise group.exceptions[0] from None


class _Streams:
    """The tasks of a link's streams; those left at its end are cancelled."""

    def __init__(self, tasks: asyncio.TaskGroup, handle: Handle) -> None:
        self._tasks = tasks
        self._handle = handle
        self._running: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._running:
            task.cancel()

    def serve(self, stream: Stream) -> None:
        task = self._tasks.create_task(_serve(stream, self._handle))
        self._running.add(task)
        task.add_done_callback(self._running.discard)


async def _resolve(address: tuple[str, int]) -> Address:
    async with asyncio.timeout(HANDSHAKE_TIMEOUT_S):
        return await resolve(*address)


async def _wait_welcomed(link: Link) -> Link:
    try:
        async with asyncio.timeout(HANDSHAKE_TIMEOUT_S):
            await link.wait_welcomed()
    except TimeoutError:
        raise Unavailable(
            Code.SESSION_LOST, f"no answer within {HANDSHAKE_TIMEOUT_S:g} s: is UDP blocked?"
        ) from None
    return link


async def _serve(stream: Stream, handle: Handle) -> None:
    """Read who the client is, and hand it over; the stream is over when this returns."""
    try:
        incoming = await _read_preamble(stream)
        await handle(incoming)
    except TowonelError as error:
        stream.abort(error.code)
    except Exception as error:  # noqa: BLE001 a bug met by one client ends that client
        asyncio.get_running_loop().call_exception_handler(
            {"message": "a stream failed", "exception": error}
        )
        stream.abort(Code.INTERNAL)
    finally:
        await stream.close()


async def _read_preamble(stream: Stream) -> Incoming:
    """Read the preamble, and leave what follows it to be read.

    Raises:
        ProtocolError: BAD_PREAMBLE, PREAMBLE_TIMEOUT.
        Unavailable: the edge gave up first.
    """
    data = b""
    try:
        async with asyncio.timeout(PREAMBLE_TIMEOUT_S):
            while (found := preambles.read(data)) is None:
                more = await stream.read(MAX_PREAMBLE_BYTES)
                if not more:
                    raise ProtocolError(Code.BAD_PREAMBLE, f"ends after {len(data)} bytes")
                data += more
    except TimeoutError:
        raise ProtocolError(Code.PREAMBLE_TIMEOUT, f"{len(data)} bytes came") from None
    preamble, length = found
    if len(data) > length:
        stream.inbound.unread(data[length:])
    return Incoming(preamble, stream)
