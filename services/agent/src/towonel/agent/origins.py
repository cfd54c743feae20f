"""Relay of streams to origins: each client's stream gets a connection to the origin it asks for."""

import asyncio
import errno
import socket

import structlog

from towonel.agent.core.services import Origin, OriginTable, ProxyProtocol
from towonel.agent.metrics import Metrics
from towonel.runtime.in_flight import InFlight
from towonel.tunnel.pipe import Pipe
from towonel.tunnel.relay import relay
from towonel.tunnel.sockets import SocketPipe
from towonel.tunnel.stream_requests import StreamRequest
from towonel.wire import proxy
from towonel.wire.errors import Code, TowonelError, Unavailable
from towonel.wire.preamble import Preamble
from towonel.wire.proxy import ProxyHeader

KEEPALIVE_IDLE_S, KEEPALIVE_INTERVAL_S, KEEPALIVE_PROBES = 60, 15, 4
_UNREACHABLE = {errno.EHOSTUNREACH, errno.ENETUNREACH, errno.ENETDOWN, errno.EADDRNOTAVAIL}
log: structlog.stdlib.BoundLogger = structlog.get_logger()


class Origins:
    """Relay of the streams that edges hand over; it dials only the origins of the environment."""

    def __init__(
        self, table: OriginTable, metrics: Metrics, *, timeout_s: float, max_streams: int
    ) -> None:
        self._table = table
        self._metrics = metrics
        self._to_origin = metrics.carried.labels("edge_to_origin")
        self._to_edge = metrics.carried.labels("origin_to_edge")
        self._timeout_s = timeout_s
        self._max_streams = max_streams
        self.in_flight = InFlight()

    async def handle(self, request: StreamRequest) -> None:
        """Connect to the origin that is asked for, and carry bytes until both sides are done."""
        if self.in_flight.count >= self._max_streams:
            self._refuse(request, Code.OVERLOADED, "")
            return
        with self.in_flight, self._metrics.streams.track_inprogress():
            await self._serve(request)

    async def _serve(self, request: StreamRequest) -> None:
        origin = self._table.find(request.preamble)
        if origin is None:
            self._refuse(request, Code.NO_SERVICE, "")
            return
        try:
            connection = await self._connect(origin, request.preamble)
        except Unavailable as error:
            self._refuse(request, error.code, error.detail)
            return
        try:
            stream = await request.accept()
            self._metrics.streams_accepted.inc()
            self._count_end(await relay(stream, connection, self._to_origin.inc, self._to_edge.inc))
        except TowonelError as error:  # the client left while its origin was dialled
            self._metrics.stream_errors.labels(error.code.word).inc()
        finally:
            await connection.close()

    def _count_end(self, code: Code) -> None:
        if code is Code.NORMAL:
            self._metrics.streams_completed.inc()
        else:
            self._metrics.stream_errors.labels(code.word).inc()

    def _refuse(self, request: StreamRequest, code: Code, detail: str) -> None:
        request.reject(code)
        self._metrics.stream_errors.labels(code.word).inc()
        service = str(request.preamble.service)
        log.warning("stream.refused", service=service, code=code.word, detail=detail)

    async def _connect(self, origin: Origin, preamble: Preamble) -> Pipe:
        """Connect within the timeout, and send a PROXY header to an origin that wants one.

        Raises:
            Unavailable: ORIGIN_TIMEOUT, ORIGIN_REFUSED or ORIGIN_UNREACHABLE.
        """
        try:
            async with asyncio.timeout(self._timeout_s):
                connection = SocketPipe(await _dial(origin))
                if origin.proxy_protocol is ProxyProtocol.V2:
                    await _send_proxy_header(connection, preamble)
                return connection
        except TimeoutError as error:
            detail = f"{origin}: no answer in {self._timeout_s:g} s"
            raise Unavailable(Code.ORIGIN_TIMEOUT, detail) from error
        except OSError as error:
            raise Unavailable(_to_code(error), f"{origin}: {error.strerror or error}") from error


async def _send_proxy_header(connection: Pipe, preamble: Preamble) -> None:
    try:
        await connection.write(_proxy_header(preamble))
    except BaseException:
        await connection.close()
        raise


async def _dial(origin: Origin) -> socket.socket:
    """Try every address of the origin, in the resolver's order; the last failure counts."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(origin.host, origin.port, type=socket.SOCK_STREAM)
    failure = OSError(errno.EHOSTUNREACH, "the name has no address")
    for family, kind, number, _, address in found:
        connection = socket.socket(family, kind, number)
        connection.setblocking(False)
        try:
            await loop.sock_connect(connection, address)
        except OSError as error:
            connection.close()
            failure = error
        except BaseException:
            connection.close()
            raise
        else:
            _set_options(connection)
            return connection
    raise failure


def _set_options(connection: socket.socket) -> None:
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, KEEPALIVE_IDLE_S)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, KEEPALIVE_INTERVAL_S)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, KEEPALIVE_PROBES)


def _proxy_header(preamble: Preamble) -> bytes:
    tlvs = ((proxy.TLV_AUTHORITY, preamble.authority.encode()),) if preamble.authority else ()
    return proxy.encode(ProxyHeader(preamble.source, preamble.destination, tlvs))


def _to_code(error: OSError) -> Code:
    if isinstance(error, ConnectionRefusedError):
        return Code.ORIGIN_REFUSED
    if error.errno in _UNREACHABLE or isinstance(error, socket.gaierror):
        return Code.ORIGIN_UNREACHABLE
    return Code.ORIGIN_RESET
