"""One TLS client from its first byte to its last: who it is, what it wants, a way there, relay.

    accept ─▶ read name ─▶ route ─▶ open a way ─▶ relay ─▶ closed
       │          │          │          │
       └──────────┴──────────┴──────────┴─▶ refused: alert, clean close

Each stage raises a `TowonelError` to refuse the client; `serve` turns its code into the TLS alert,
the metric and the log line. The stage *route* is where TLS modes part.
"""

import asyncio
import socket
from collections.abc import Collection
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address
from typing import assert_never

import structlog

from towonel.edge.core.admission import Admission, Ticket
from towonel.edge.core.table import RouteTable
from towonel.edge.core.traffic import Tally, Traffic
from towonel.edge.core.trusted import Network, is_trusted
from towonel.edge.listeners.first_flight import FirstFlight, close_gracefully
from towonel.edge.listeners.in_flight import InFlight
from towonel.edge.metrics import Metrics
from towonel.edge.upstream import ClientConnection, Upstream
from towonel.tunnel.pipe import Pipe
from towonel.tunnel.relay import relay
from towonel.tunnel.sockets import SocketPipe
from towonel.wire import clienthello
from towonel.wire.errors import Code, TowonelError, Unavailable
from towonel.wire.names import Hostname
from towonel.wire.proxy import Address
from towonel.wire.routes import Route, TlsMode

log: structlog.stdlib.BoundLogger = structlog.get_logger()

MAX_LINGERING = 1024  # refused clients that may read their alert in peace; more are cut off


@dataclass(frozen=True, slots=True)
class ClientRequest:
    """A client that has said what it wants; `first` is still on its socket."""

    flight: FirstFlight
    source: Address
    destination: Address
    server_name: Hostname
    first: bytes


class TlsListener:
    """Serves TLS clients, one per call of `serve`.

    Args:
        table: the routes.
        ways: finds a way to a service.
        admission: the limits.
        metrics: what is counted.
        traffic: what is counted for each tenant.
        handshake_timeout_s: from accept until the whole ClientHello is here.
        proxies: peers in these networks must begin with a PROXY v2 header; of no other is one read.
    """

    def __init__(
        self,
        table: RouteTable,
        ways: Upstream,
        admission: Admission,
        metrics: Metrics,
        *,
        traffic: Traffic,
        handshake_timeout_s: float,
        proxies: Collection[Network],
    ) -> None:
        self._table = table
        self._ways = ways
        self._admission = admission
        self._metrics = metrics
        self._traffic = traffic
        self._handshake_timeout_s = handshake_timeout_s
        self._proxies = proxies
        self._farewells = 0
        self.arriving = InFlight()  # clients that are neither relayed nor refused yet

    async def serve(self, sock: socket.socket) -> None:
        """Serve one client, on a non-blocking socket, to its end; whatever goes wrong ends here."""
        self._metrics.connections.inc()
        with self._metrics.connections_active.track_inprogress():
            try:
                await self._serve(sock)
            except Exception:  # our bug, or the kernel's: this client ends, the others go on
                self._metrics.connections_refused.labels(Code.INTERNAL.word).inc()
                log.exception("client.crashed")

    async def _serve(self, sock: socket.socket) -> None:
        try:
            await self._serve_admitted(sock)
        except TowonelError as error:
            await self._refuse(sock, error)

    async def _serve_admitted(self, sock: socket.socket) -> None:
        ticket = self._admission.take()
        try:
            greeting, route, way = await self._find_way(sock, ticket)
            with self._traffic.connection(route.tenant_id) as tally:
                await self._relay(sock, greeting, way, tally)
        finally:
            self._admission.release(ticket)

    async def _find_way(
        self, sock: socket.socket, ticket: Ticket
    ) -> tuple[ClientRequest, Route, Pipe]:
        with self.arriving:
            greeting = await self._read(sock, ticket)
            route = self._route(greeting.server_name)
            self._admission.claim_tenant(ticket, route.tenant_id)
            return greeting, route, await self._ways.open(_visit(greeting, route))

    async def _read(self, sock: socket.socket, ticket: Ticket) -> ClientRequest:
        try:
            async with asyncio.timeout(self._handshake_timeout_s):
                flight = FirstFlight(sock)
                source, destination = await self._addresses(sock, flight)
                self._admission.claim_source(ticket, source.ip)
                hello, first = await flight.client_hello()
        except TimeoutError as error:
            raise Unavailable(Code.CLIENT_TIMEOUT, "no ClientHello in time") from error
        return ClientRequest(flight, source, destination, hello.server_name, first)

    async def _addresses(self, sock: socket.socket, flight: FirstFlight) -> tuple[Address, Address]:
        """Return the client's address and the one it reached, as far out as we can see them."""
        peer, local = _prepare(sock)
        if not is_trusted(self._proxies, peer.ip):
            return peer, local
        header = await flight.proxy_header()
        return header.source, header.destination

    def _route(self, name: Hostname) -> Route:
        route = self._table.lookup(name)
        if route is None:
            raise Unavailable(Code.NO_ROUTE, name)
        match route.tls_mode:
            case TlsMode.PASSTHROUGH | TlsMode.AGENT:  # ciphertext here in both: the agent differs
                return route
            case TlsMode.TERMINATE:
                raise Unavailable(Code.NO_SERVICE, f"{name}: this edge does not terminate TLS")
            case _:
                assert_never(route.tls_mode)

    async def _relay(
        self, sock: socket.socket, greeting: ClientRequest, way: Pipe, tally: Tally
    ) -> None:
        """Carry bytes to the end; what the way has taken already comes off the socket first."""

        def count_in(count: int) -> None:
            tally.bytes_in += count
            self._metrics.bytes_in.inc(count)

        def count_out(count: int) -> None:
            tally.bytes_out += count
            self._metrics.bytes_out.inc(count)

        client = SocketPipe(sock, broken=Code.CLIENT_CLOSED)
        try:
            greeting.flight.take(len(greeting.first))
            count_in(len(greeting.first))
            code = await relay(client, way, count_in, count_out)
        finally:
            await way.close()
        await client.close()
        self._metrics.connections_ended.labels(code.word).inc()
        log.debug("client.ended", peer=str(greeting.source), code=code.word)

    async def _refuse(self, sock: socket.socket, error: TowonelError) -> None:
        self._metrics.connections_refused.labels(error.code.word).inc()
        # What a stranger can cause at will must not fill the log.
        tell = log.info if error.code > Code.NO_ROUTE else log.debug
        tell("client.refused", code=error.code.word, detail=error.detail)
        if self._farewells >= MAX_LINGERING:
            return
        self._farewells += 1
        try:
            await close_gracefully(sock, _alert(error.code))
        finally:
            self._farewells -= 1


def _prepare(sock: socket.socket) -> tuple[Address, Address]:
    """Set the socket up, and return the addresses of its peer and of its own end."""
    try:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return _address(sock.getpeername()), _address(sock.getsockname())
    except OSError as error:
        raise Unavailable(Code.CLIENT_CLOSED, str(error)) from error


def _address(name: tuple[str, int] | tuple[str, int, int, int]) -> Address:
    ip = ip_address(name[0])
    mapped = ip.ipv4_mapped if isinstance(ip, IPv6Address) else None
    return Address(mapped or ip, name[1])


def _visit(greeting: ClientRequest, route: Route) -> ClientConnection:
    return ClientConnection(
        greeting.source, greeting.destination, route, greeting.server_name, greeting.first
    )


def _alert(code: Code) -> bytes:
    """The alert for a code; a proxy in front that broke its promise is no TLS client."""
    return b"" if code is Code.BAD_PROXY_HEADER else clienthello.alert(code)
