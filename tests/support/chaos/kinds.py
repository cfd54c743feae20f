"""Kinds of services that carry traffic through a bad network: another one is an entry of `KINDS`."""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any

from support.chaos import datagram_uses
from support.chaos.bad_network import PUBLIC
from support.chaos.uses import (
    Origin,
    Use,
    ask_name,
    download,
    echo,
    listen,
    running_origin,
    upload,
)
from support.clients import Client, Streams
from support.stack import service
from support.tcp_origins import port_service
from support.udp_origins import UdpClient, udp_client

HOSTNAME = "app.chaos.example.eu"


@dataclass(frozen=True)
class Place:
    """Ports of one service: of its origin at home, and its public one."""

    origin: int
    public: int
    trust: ssl.SSLContext


@dataclass(frozen=True)
class Kind[Connection]:
    """Kind of service.

    Args:
        variable: of an agent's environment, which has a list of these services.
        has_tls: whether its origins speak TLS; and so an end that is none is not seen by a client of asyncio.
        uses: that its connections are made of.
        ask: what a new client does.
        describe: returns a service as the variable has it.
        connect: connects to it as a client does.
        listen: returns the socket of an origin.
        serve: runs the origin.
    """

    name: str
    variable: str
    has_tls: bool
    uses: tuple[Use[Connection], ...]
    ask: Use[Connection]
    describe: Callable[[Place], Mapping[str, object]]
    connect: Callable[[Place], AbstractAsyncContextManager[Connection]]
    listen: Callable[[], socket.socket] = listen
    serve: Callable[[socket.socket, ssl.SSLContext | None], AbstractAsyncContextManager[Origin]] = (
        running_origin
    )


@contextlib.asynccontextmanager
async def connect_tcp(place: Place) -> AsyncIterator[Streams]:
    """Connect to the port of a TCP service."""
    reader, writer = await asyncio.open_connection(PUBLIC, place.public)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


def connect_https(place: Place) -> AbstractAsyncContextManager[Streams]:
    """Connect to the edge, and name the service."""
    return Client(place.public, place.trust, HOSTNAME).connect()


@contextlib.asynccontextmanager
async def connect_udp(place: Place) -> AsyncIterator[UdpClient]:
    """Be a client of the port of a UDP service."""
    with udp_client(place.public, PUBLIC) as client:
        yield client


STREAM_USES: tuple[Use[Streams], ...] = (download, upload, echo)
KINDS: tuple[Kind[Any], ...] = (
    Kind(
        name="https",
        variable="TOWONEL_AGENT_SERVICES",
        has_tls=True,
        uses=STREAM_USES,
        ask=ask_name,
        describe=lambda place: service(HOSTNAME, place.origin),
        connect=connect_https,
    ),
    Kind(
        name="tcp",
        variable="TOWONEL_AGENT_TCP_SERVICES",
        has_tls=False,
        uses=STREAM_USES,
        ask=ask_name,
        describe=lambda place: port_service("chaos", place.origin, place.public),
        connect=connect_tcp,
    ),
    Kind(
        name="udp",
        variable="TOWONEL_AGENT_UDP_SERVICES",
        has_tls=False,
        uses=(datagram_uses.exchange,),
        ask=datagram_uses.ask,
        describe=lambda place: port_service("chaos", place.origin, place.public),
        connect=connect_udp,
        listen=datagram_uses.listen,
        serve=datagram_uses.running_echo,
    ),
)
