"""Dial of an edge: over QUIC, or inside TLS over TCP, for where UDP is blocked."""

import asyncio
import contextlib
import socket
from collections.abc import Iterable
from functools import partial
from typing import Final

from towonel.agent.core.edges import Edge
from towonel.relay.tls.lane_tls import AgentTls
from towonel.tunnel.core.handshake import AgentHandshake
from towonel.tunnel.core.timing import Timing
from towonel.tunnel.dial import dial
from towonel.tunnel.link import Link
from towonel.tunnel.quic.udp import Address
from towonel.tunnel.stream_requests import Handle
from towonel.tunnel.tcp.dial import dial_by_tcp
from towonel.tunnel.tcp.secure_socket import SecurePeer
from towonel.wire.tcp import session_frames

_TLS: Final = AgentTls(session_frames.ALPN)


def dial_edge(
    handle: Handle,
    addresses: Iterable[Address],
    edge: Edge,
    handshake: AgentHandshake,
    timing: Timing,
) -> contextlib.AbstractAsyncContextManager[Link]:
    """Link to an edge, as `dial` does, which serves clients of its streams by `handle`.

    Raises:
        TowonelError: as of `dial`.
    """
    return dial(
        addresses,
        edge=edge.identity,
        key=handshake.key,
        grant=handshake.grant,
        services=handshake.services,
        handle=handle,
        software=handshake.software,
        hints=handshake.hints,
        timing=timing,
    )


def dial_edge_by_tcp(
    addresses: Iterable[Address], edge: Edge, handshake: AgentHandshake, timing: Timing
) -> contextlib.AbstractAsyncContextManager[Link]:
    """Link to an edge, as `dial_by_tcp` does, whose certificate the hub named.

    Raises:
        TowonelError: as of `dial`.
    """

    async def connect(address: Address) -> SecurePeer:
        sock = _TLS.wrap(await _connect(address), edge.server_name)
        return SecurePeer(sock, partial(_TLS.check, sock, edge.identity.certificate_sha256))

    return dial_by_tcp(addresses, edge.identity, handshake, connect, timing)


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
