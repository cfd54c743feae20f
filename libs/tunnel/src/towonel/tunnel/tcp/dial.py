"""Dialling of an edge inside TLS over TCP: a link without streams, for as long as a context lasts."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable

from towonel.tunnel.core.address_order import interleave
from towonel.tunnel.core.handshake import AgentHandshake, EdgeIdentity
from towonel.tunnel.core.timing import DEFAULT_TIMING, Timing
from towonel.tunnel.link import Link
from towonel.tunnel.quic.udp import Address
from towonel.tunnel.stream import Stream
from towonel.tunnel.tcp.secure_socket import SecurePeer
from towonel.wire.addresses import format_address
from towonel.wire.errors import Code, ProtocolError, Unavailable

type Connect = Callable[[Address], Awaitable[SecurePeer]]


@contextlib.asynccontextmanager
async def dial_by_tcp(
    addresses: Iterable[Address],
    edge: EdgeIdentity,
    handshake: AgentHandshake,
    connect: Connect,
    timing: Timing = DEFAULT_TIMING,
) -> AsyncGenerator[Link]:
    """Link to an edge while the context lasts; clients come over lanes alone.

    Args:
        addresses: of its TCP port; the first that answers is used.
        edge: as the hub names it: nothing else is trusted.
        handshake: answers its challenge.
        connect: connects to an address.
        timing: `welcome_s`, and those of the connection.

    Raises:
        TowonelError: as of `towonel.tunnel.dial.dial`.
    """
    edge.check()
    failures: list[str] = []
    for peer in interleave(addresses):
        link = Link(edge, handshake, _refuse_stream, timing)
        try:
            async with asyncio.timeout(timing.welcome_s):
                secure = await connect(peer)
            with link.connect(peer, secure):
                await link.wait_opened()
                yield link
                return
        except (OSError, Unavailable) as error:
            if link.session_id:
                raise  # of whoever uses it
            failures.append(f"{format_address(*peer[:2])}: {str(error) or 'no answer'}")
    raise Unavailable(Code.SESSION_LOST, "; ".join(failures) or "no address")


def _refuse_stream(_stream: Stream) -> None:
    """Refuse what the edge says of a stream, such as how much of it may be sent."""
    raise ProtocolError(Code.UNEXPECTED_MESSAGE, "a session over TCP has no streams")
