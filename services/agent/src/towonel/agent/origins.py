"""Connections to origins, each carried to the client that asked for it."""

import asyncio
import errno
import socket

import structlog

from towonel.agent.core.services import OriginTable, Origin, ProxyProtocol
from towonel.agent.metrics import Metrics
from towonel.tunnel.link import Incoming
from towonel.tunnel.pipe import Pipe
from towonel.tunnel.relay import Transfer, relay
from towonel.tunnel.sockets import SocketPipe
from towonel.wire import proxy
from towonel.wire.errors import Code, TowonelError, Unavailable
from towonel.wire.preamble import Preamble
from towonel.wire.proxy import ProxyHeader

KEEPALIVE_IDLE_S, KEEPALIVE_INTERVAL_S, KEEPALIVE_PROBES = 60, 15, 4
_UNREACHABLE = {errno.EHOSTUNREACH, errno.ENETUNREACH, errno.ENETDOWN, errno.EADDRNOTAVAIL}
log: structlog.stdlib.BoundLogger = structlog.get_logger()


class Origins:
    """Takes what edges hand over, and dials nothing but the origins of the environment."""

    def __init__(
        self, directory: OriginTable, metrics: Metrics, *, timeout_s: float, max_streams: int
    ) -> None:
        self._directory = directory
        self._metrics = metrics
        self._timeout_s = timeout_s
        self._max_streams = max_streams
        self._active = 0
        self.idle = asyncio.Event()
        self.idle.set()

    async def handle(self, incoming: Incoming) -> None:
        """Connect to the origin that is asked for, and carry bytes until both sides are done."""
        if self._active >= self._max_streams:
            self._refuse(incoming, Code.OVERLOADED, "")
            return
        self._active += 1
        self.idle.clear()
        self._metrics.streams.inc()
        try:
            await self._serve(incoming)
        finally:
            self._active -= 1
            self._metrics.streams.dec()
            if not self._active:
                self.idle.set()

    async def _serve(self, incoming: Incoming) -> None:
        origin = self._directory.find(incoming.preamble)
        if origin is None:
            self._refuse(incoming, Code.NO_SERVICE, "")
            return
        try:
            home = await self._connected(origin, incoming.preamble)
        except Unavailable as error:
            self._refuse(incoming, error.code, error.detail)
            return
        try:
            stream = await incoming.accept()
            self._metrics.streams_accepted.inc()
            self._count(await relay(stream, home))
        except TowonelError as error:  # the client left while its origin was dialled
            self._metrics.stream_errors.labels(error.code.word).inc()
        finally:
            await home.close()

    def _count(self, transfer: Transfer) -> None:
        self._metrics.carried.labels("edge_to_origin").inc(transfer.a_to_b)
        self._metrics.carried.labels("origin_to_edge").inc(transfer.b_to_a)
        if transfer.code is Code.NORMAL:
            self._metrics.streams_completed.inc()
        else:
            self._metrics.stream_errors.labels(transfer.code.word).inc()

    def _refuse(self, incoming: Incoming, code: Code, detail: str) -> None:
        incoming.reject(code)
        self._metrics.stream_errors.labels(code.word).inc()
        service = str(incoming.preamble.service)
        log.warning("stream.refused", service=service, code=code.word, detail=detail)

    async def _connected(self, origin: Origin, preamble: Preamble) -> Pipe:
        """Connect within the timeout, and say who the client is where the origin wants to know.

        Raises:
            Unavailable: ORIGIN_TIMEOUT, ORIGIN_REFUSED or ORIGIN_UNREACHABLE.
        """
        try:
            async with asyncio.timeout(self._timeout_s):
                home = SocketPipe(await _dial(origin))
                if origin.proxy_protocol is ProxyProtocol.V2:
                    await _introduce(home, preamble)
                return home
        except TimeoutError as error:
            detail = f"{origin}: no answer in {self._timeout_s:g} s"
            raise Unavailable(Code.ORIGIN_TIMEOUT, detail) from error
        except OSError as error:
            raise Unavailable(_code(error), f"{origin}: {error.strerror or error}") from error


async def _introduce(home: Pipe, preamble: Preamble) -> None:
    try:
        await home.write(_header(preamble))
    except BaseException:
        await home.close()
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
            _tune(connection)
            return connection
    raise failure


def _tune(connection: socket.socket) -> None:
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, KEEPALIVE_IDLE_S)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, KEEPALIVE_INTERVAL_S)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, KEEPALIVE_PROBES)


def _header(preamble: Preamble) -> bytes:
    tlvs = ((proxy.TLV_AUTHORITY, preamble.authority.encode()),) if preamble.authority else ()
    return proxy.encode(ProxyHeader(preamble.source, preamble.destination, tlvs))


def _code(error: OSError) -> Code:
    if isinstance(error, ConnectionRefusedError):
        return Code.ORIGIN_REFUSED
    if error.errno in _UNREACHABLE or isinstance(error, socket.gaierror):
        return Code.ORIGIN_UNREACHABLE
    return Code.ORIGIN_RESET
