"""Dialling of an edge by an agent: a link, for as long as a context lasts."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Iterable
from functools import partial

from towonel.identity.keys import NodeKey
from towonel.tunnel.address_race import open_any
from towonel.tunnel.core.address_order import interleave
from towonel.tunnel.core.handshake import AgentHandshake, EdgeIdentity
from towonel.tunnel.core.timing import DEFAULT_TIMING, Timing
from towonel.tunnel.link import Link
from towonel.tunnel.quic.udp import Address
from towonel.tunnel.stream import Stream
from towonel.tunnel.stream_requests import Handle, StreamTasks
from towonel.tunnel.tcp.connection import SecureSocket
from towonel.wire.addresses import format_address
from towonel.wire.errors import Code, Unavailable
from towonel.wire.names import ServiceKey


@contextlib.asynccontextmanager
async def dial(
    addresses: Iterable[Address],
    *,
    edge: EdgeIdentity,
    key: NodeKey,
    grant: bytes,
    services: Collection[ServiceKey],
    handle: Handle,
    software: str,
    timing: Timing = DEFAULT_TIMING,
) -> AsyncGenerator[Link]:
    """Link to an edge while the context lasts; its end closes the link and every stream.

    Args:
        addresses: of its UDP port; the first that answers is used.
        edge: as the hub names it: nothing else is trusted.
        key: the agent's.
        grant: the hub's word for that key.
        services: of this agent.
        handle: serves each client; it runs in a task of its own.
        software: of this agent, for the edge's log; at most 64 characters.
        timing: `welcome_s`, `address_delay_s`, `preamble_s`, and those of the connection.

    Raises:
        Denied: with the edge's code, or CERTIFICATE_MISMATCH, EDGE_UNKNOWN.
        ProtocolError: UNSUPPORTED_VERSION and the like.
        Unavailable: SESSION_LOST where no address answers within `welcome_s`.
    """
    edge.check()
    handshake = AgentHandshake(key, grant, services, software)
    async with _hold_link(addresses, edge, handshake, handle, timing) as link:
        yield link


@contextlib.asynccontextmanager
async def dial_by_tcp(
    addresses: Iterable[Address],
    *,
    edge: EdgeIdentity,
    key: NodeKey,
    grant: bytes,
    services: Collection[ServiceKey],
    software: str,
    connect: Callable[[Address], Awaitable[SecureSocket]],
    check_peer: Callable[[SecureSocket], None],
    timing: Timing = DEFAULT_TIMING,
) -> AsyncGenerator[Link]:
    """Link to an edge inside TLS over TCP, as `dial` does over QUIC; its clients come over lanes alone.

    Args:
        addresses: of its TCP port; the first that answers is used.
        edge: as of `dial`.
        key: as of `dial`.
        grant: as of `dial`.
        services: as of `dial`.
        software: as of `dial`.
        connect: connects to an address, and returns a socket of TLS whose handshake is still to come.
        check_peer: raises `TowonelError` unless a handshake was with this edge.
        timing: as of `dial`.

    Raises:
        TowonelError: as of `dial`.
    """
    edge.check()
    handshake = AgentHandshake(key, grant, services, software)
    failures: list[str] = []
    for peer in interleave(addresses):
        where = format_address(*peer[:2])
        try:
            async with asyncio.timeout(timing.welcome_s):
                sock = await connect(peer)
        except (OSError, TimeoutError) as error:
            failures.append(f"{where}: {str(error) or 'no answer'}")
            continue
        link = Link(edge, handshake, _refuse_stream, timing)
        with link.connect_by_tcp(peer, sock, partial(check_peer, sock)):
            try:
                await link.wait_opened()
            except Unavailable as error:
                failures.append(f"{where}: {error.detail}")
                continue
            yield link
            return
    raise Unavailable(Code.SESSION_LOST, "; ".join(failures) or "no address")


def _refuse_stream(_stream: Stream) -> None:
    raise AssertionError("a connection over TCP has no streams")


@contextlib.asynccontextmanager
async def _hold_link(
    peers: Iterable[Address],
    edge: EdgeIdentity,
    handshake: AgentHandshake,
    handle: Handle,
    timing: Timing,
) -> AsyncGenerator[Link]:
    """Hold an open link and the tasks of its streams."""
    try:
        async with (
            asyncio.TaskGroup() as tasks,
            StreamTasks(tasks, handle, timing.preamble_s) as streams,
        ):
            with contextlib.ExitStack() as exits:
                make_link = partial(Link, edge, handshake, streams.start, timing)
                yield await open_any(peers, make_link, timing, exits)
    except BaseExceptionGroup as group:  # of one: streams fail on their own
        raise group.exceptions[0] from None
