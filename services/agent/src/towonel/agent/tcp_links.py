"""Dial of an edge inside TLS over TCP, for where UDP is blocked."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncGenerator, Collection, Iterable
from typing import Final

from towonel.agent.core.edges import Edge
from towonel.identity.keys import NodeKey
from towonel.relay.tls.lane_tls import AgentTls
from towonel.relay.tls.tls_socket import TlsSocket
from towonel.tunnel.core.timing import Timing
from towonel.tunnel.dial import dial_by_tcp
from towonel.tunnel.link import Link
from towonel.tunnel.quic.udp import Address
from towonel.tunnel.tcp.connection import SecureSocket
from towonel.wire import session_frames
from towonel.wire.names import ServiceKey

_TLS: Final = AgentTls(session_frames.ALPN)


@contextlib.asynccontextmanager
async def dial_edge_by_tcp(
    addresses: Iterable[Address],
    edge: Edge,
    *,
    key: NodeKey,
    grant: bytes,
    services: Collection[ServiceKey],
    software: str,
    timing: Timing,
) -> AsyncGenerator[Link]:
    """Link to an edge, as `towonel.tunnel.dial.dial_by_tcp` does, whose certificate the hub named.

    Raises:
        TowonelError: as of `dial`.
    """

    async def connect(address: Address) -> SecureSocket:
        return _TLS.wrap(await _connect(address), edge.server_name)

    def check_peer(sock: SecureSocket) -> None:
        assert isinstance(sock, TlsSocket), "as it was made"
        _TLS.check(sock, edge.identity.certificate_sha256)

    async with dial_by_tcp(
        addresses,
        edge=edge.identity,
        key=key,
        grant=grant,
        services=services,
        software=software,
        connect=connect,
        check_peer=check_peer,
        timing=timing,
    ) as link:
        yield link


async def _connect(address: Address) -> socket.socket:
    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await asyncio.get_running_loop().sock_connect(sock, address)
    except BaseException:
        sock.close()
        raise
    return sock
