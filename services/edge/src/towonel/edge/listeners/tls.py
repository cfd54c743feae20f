"""TLS listener: each client from its first byte to its last.

    accept ─▶ read name ─▶ find route ─▶ open upstream ─▶ relay ─▶ closed
       │          │            │              │
       └──────────┴────────────┴──────────────┴─▶ refused: alert, clean close

Each stage raises a `TowonelError` to refuse the client; `serve` turns its code into the TLS alert,
the metric and the log line. TLS modes part at the stage *find route*.
"""

import asyncio
import socket
from collections.abc import Collection, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import ip_address
from typing import assert_never

import structlog

from towonel.edge.core.admission import Admission, Ticket
from towonel.edge.core.route_table import RouteTable
from towonel.edge.core.traffic import Tally, Traffic
from towonel.edge.core.trusted_proxies import is_trusted
from towonel.edge.listeners.first_flight import FirstFlight
from towonel.edge.listeners.refusals import ClientRecord, Refusals
from towonel.edge.metrics import Metrics
from towonel.edge.relays import Relays
from towonel.edge.upstream import ClientConnection, Upstream
from towonel.runtime.addresses import Network, unmap
from towonel.runtime.in_flight import InFlight
from towonel.tunnel.pipe import Pipe
from towonel.tunnel.relay import relay
from towonel.tunnel.sockets import SocketPipe
from towonel.wire.errors import Code, TowonelError, Unavailable
from towonel.wire.names import Hostname
from towonel.wire.proxy import Address
from towonel.wire.routes import Route, TlsMode

log: structlog.stdlib.BoundLogger = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class ClientRequest:
    """Request of a client, read from its first bytes; `first` is still on its socket."""

    flight: FirstFlight
    source: Address
    destination: Address
    server_name: Hostname
    first: bytes


class TlsListener:
    """Listener for TLS clients, one per call of `serve`.

    Args:
        table: the routes.
        upstream: opens a pipe to a service.
        admission: the limits.
        metrics: what is counted.
        relays: where a client is registered while it is relayed.
        traffic: what is counted for each tenant.
        handshake_timeout_s: from accept until the whole ClientHello is here.
        linger_s: for a refused client to read its alert.
        proxies: peers in these networks must begin with a PROXY v2 header; no other peer's is read.
    """

    def __init__(
        self,
        table: RouteTable,
        upstream: Upstream,
        admission: Admission,
        metrics: Metrics,
        *,
        relays: Relays,
        traffic: Traffic,
        handshake_timeout_s: float,
        linger_s: float,
        proxies: Collection[Network],
    ) -> None:
        self._table = table
        self._upstream = upstream
        self._admission = admission
        self._metrics = metrics
        self._relays = relays
        self._traffic = traffic
        self._handshake_timeout_s = handshake_timeout_s
        self._proxies = proxies
        self.refusals = Refusals(metrics, linger_s)
        self.arriving = InFlight()  # clients that are neither relayed nor refused yet

    async def serve(self, sock: socket.socket) -> None:
        """Serve one client, on a non-blocking socket, to its end; never raises an `Exception`."""
        self._metrics.connections.inc()
        client = ClientRecord()
        with self._metrics.connections_active.track_inprogress(), self._contain_crash():
            try:
                await self._serve(sock, client)
            except TowonelError as error:
                await self.refusals.refuse(sock, client, error)

    @contextmanager
    def _contain_crash(self) -> Generator[None]:
        """Log and count an exception that is a bug of ours, or the kernel's, and go on."""
        try:
            yield
        except Exception:  # this client ends, the others go on
            self._metrics.connections_refused.labels(Code.INTERNAL.word).inc()
            log.exception("client.crashed")

    async def _serve(self, sock: socket.socket, client: ClientRecord) -> None:
        with self._admission.admit() as ticket:
            request, route, pipe = await self._open(sock, ticket, client)
            with self._traffic.connection(route.tenant_id) as tally:
                await self._relay(sock, request, pipe, route, tally)

    async def _open(
        self, sock: socket.socket, ticket: Ticket, client: ClientRecord
    ) -> tuple[ClientRequest, Route, Pipe]:
        with self.arriving:
            request = await self._read(sock, ticket, client)
            client.hostname = request.server_name
            client.route = route = self._find_route(request.server_name)
            self._admission.claim_tenant(ticket, route.tenant_id, self._upstream.places(route))
            return request, route, await self._upstream.open(_to_connection(request, route))

    async def _read(
        self, sock: socket.socket, ticket: Ticket, client: ClientRecord
    ) -> ClientRequest:
        try:
            async with asyncio.timeout(self._handshake_timeout_s):
                flight = FirstFlight(sock)
                client.peer, local = _configure(sock)
                source, destination = await self._read_addresses(flight, client.peer, local)
                client.peer = source
                self._admission.claim_source(ticket, source.ip)
                hello, first = await flight.read_client_hello()
        except TimeoutError as error:
            raise Unavailable(Code.CLIENT_TIMEOUT, "no ClientHello in time") from error
        return ClientRequest(flight, source, destination, hello.server_name, first)

    async def _read_addresses(
        self, flight: FirstFlight, peer: Address, local: Address
    ) -> tuple[Address, Address]:
        """Return the client's address and the one it dialled; a trusted proxy's header names both.

        A proxy that speaks for itself, as its health checks do, names none and is the client.
        """
        if not is_trusted(self._proxies, peer.ip):
            return peer, local
        header = await flight.read_proxy_header()
        return (peer, local) if header is None else (header.source, header.destination)

    def _find_route(self, name: Hostname) -> Route:
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
        self, sock: socket.socket, request: ClientRequest, pipe: Pipe, route: Route, tally: Tally
    ) -> None:
        """Carry bytes to the end; what the upstream took already comes off the socket first."""

        def count_in(count: int) -> None:
            tally.bytes_in += count
            tracked.carried_bytes += count
            self._metrics.bytes_in.inc(count)

        def count_out(count: int) -> None:
            tally.bytes_out += count
            tracked.carried_bytes += count
            self._metrics.bytes_out.inc(count)

        client = SocketPipe(sock, broken=Code.CLIENT_CLOSED)
        try:
            with self._relays.track(
                sock, client, pipe, request.server_name, route.tenant_id
            ) as tracked:
                request.flight.take(len(request.first))
                count_in(len(request.first))
                code = await relay(client, pipe, count_in, count_out)
        finally:
            await pipe.close()
        await client.close()
        self._metrics.connections_ended.labels(code.word).inc()
        log.debug("client.ended", peer=str(request.source), code=code.word)


def _configure(sock: socket.socket) -> tuple[Address, Address]:
    """Set the socket up, and return the addresses of its peer and of its own end."""
    try:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return _to_address(sock.getpeername()), _to_address(sock.getsockname())
    except OSError as error:
        raise Unavailable(Code.CLIENT_CLOSED, str(error)) from error


def _to_address(name: tuple[str, int] | tuple[str, int, int, int]) -> Address:
    return Address(unmap(ip_address(name[0])), name[1])


def _to_connection(request: ClientRequest, route: Route) -> ClientConnection:
    return ClientConnection(
        request.source, request.destination, route, request.server_name, request.first
    )
