"""Web server for an ASGI application: takes no signals, and lets requests finish at its end."""

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncGenerator, Callable, Generator
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from typing import Any, cast, override

import h11
from uvicorn.config import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import Server

from towonel.runtime.log_limit import LogLimit
from towonel.runtime.sockets import (
    PAUSE_S,
    UNREAD_MS,
    accept_forever,
    accept_waiting,
    bind,
    close_at_once,
    has_unread,
    limit_by_descriptors,
)

CONNECTIONS = 2_000
MAX_HEADER_BYTES = 16 * 1024
RECEIVE_BYTES = 16 * 1024
# Of a body whose request is answered: a client that reads the answer only then should get it.
MAX_UNWANTED_BYTES = 1024 * 1024
START_S = 30.0
_LENGTHS = {b"content-length", b"transfer-encoding"}


@dataclass(frozen=True, slots=True)
class WebTiming:
    """Timers of a web server.

    Args:
        head_s: from the connection, or a request head's first byte, to the head's last byte.
        unread_ms: for how long a client may leave unread all that was sent to it.
        keep_alive_s: for how long a connection may be idle after a response.
    """

    head_s: float = 15.0
    unread_ms: int = UNREAD_MS
    keep_alive_s: int = 30


DEFAULT_TIMING = WebTiming()


class _Connection(h11.Connection):
    """Reader of requests that refuses two lengths: what a proxy takes for a body would be a request here."""

    @override
    def next_event(self) -> h11.Event | type[h11.NEED_DATA] | type[h11.PAUSED]:
        event = super().next_event()
        if isinstance(event, h11.Request) and {name for name, _ in event.headers} >= _LENGTHS:
            raise h11.RemoteProtocolError("both Content-Length and Transfer-Encoding")
        return event


class HttpProtocol(H11Protocol):
    """HTTP/1.1 with time limits that uvicorn lacks, and room for new connections at the limit."""

    # What is wrong with a request that cannot be read.
    bad_request = f"this is no HTTP/1.1, its head has more than {MAX_HEADER_BYTES} bytes, or it has both Content-Length and Transfer-Encoding"
    _head_timer: asyncio.TimerHandle | None = None
    idle_since = 0.0
    _unwanted_bytes = 0

    def __init__(self, *args: Any, head_s: float, **options: Any) -> None:
        super().__init__(*args, **options)
        self._head_s = head_s
        self.conn = _Connection(h11.SERVER, MAX_HEADER_BYTES)

    @override
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        # What a client sends ahead of its turn is held: asyncio reads 256 KiB at once.
        transport.max_size = RECEIVE_BYTES  # type: ignore[attr-defined]
        self.idle_since = self.loop.time()
        self._start_head_timer()
        if self.limit_concurrency and len(self.connections) >= self.limit_concurrency:
            self._make_room(self.limit_concurrency)

    @override
    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        # What still comes of a body whose request is answered counts to the time of the next head.
        is_answered = self.conn.our_state is h11.DONE
        if self.conn.their_state is h11.IDLE or is_answered:
            self._start_head_timer()
        else:
            self._cancel_head_timer()
        self._unwanted_bytes = self._unwanted_bytes + len(data) if is_answered else 0
        if self._unwanted_bytes > MAX_UNWANTED_BYTES:
            self.transport.close()

    @override
    def on_response_complete(self) -> None:
        self.idle_since = self.loop.time()
        self.cycle = self.scope = self.headers = None  # type: ignore[assignment]  # its connection may stay
        super().on_response_complete()

    @override
    def send_400_response(self, msg: str) -> None:
        error = {"code": "invalid_request", "message": self.bad_request}
        body = json.dumps({"error": error}).encode()
        headers = [
            ("content-type", "application/json"),
            ("content-length", str(len(body))),
            ("connection", "close"),
        ]
        answer = h11.Response(status_code=HTTPStatus.BAD_REQUEST, headers=headers)
        with contextlib.suppress(h11.LocalProtocolError):  # an answer is out, whole or in part
            for event in (answer, h11.Data(body), h11.EndOfMessage()):
                self.transport.write(self.conn.send(event) or b"")
        self.transport.close()

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self._cancel_head_timer()
        super().connection_lost(exc)

    def _start_head_timer(self) -> None:
        if self._head_timer is None:
            self._head_timer = self.loop.call_later(self._head_s, self.transport.close)

    def _cancel_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _make_room(self, places: int) -> None:
        """Close connections without a request, the longest idle first.

        Idle connections at the limit would shut out every new client. Several are closed at once, so
        that the next new connections find room. One whose request has come, and is not read yet, stays.
        """
        alive: list[HttpProtocol] = [
            one
            for one in self.connections
            if isinstance(one, HttpProtocol) and not one.transport.is_closing()
        ]
        if len(alive) < places:  # others of this turn of the loop have made room
            return
        idle = sorted((one for one in alive if one.is_idle), key=lambda one: one.idle_since)
        silent = [one for one in idle if not has_unread(one.transport)]
        for one in (silent or idle)[: 1 + places // 16]:
            close_at_once(one.transport)
            self.connections.discard(one)

    @property
    def is_idle(self) -> bool:
        """Whether no request is on its way, or only what is left of one that was answered."""
        return self.conn.their_state is h11.IDLE or self.conn.our_state is h11.DONE


class _Server(Server):
    """Server that handles no signals, and accepts by a loop that knows what to do without descriptors.

    That of asyncio (`_accept_connection`) logs each failure, and starts itself anew for each.
    """

    @contextlib.contextmanager
    @override
    def capture_signals(self) -> Generator[None]:
        """Leave signals to the lifecycle, which owns them."""
        yield

    @contextlib.asynccontextmanager
    async def accept(
        self, listener: socket.socket, tasks: asyncio.TaskGroup
    ) -> AsyncGenerator[None]:
        """Serve the clients of a listening socket for the time of the block, and close it."""
        log_limit = LogLimit()

        def log_error(word: str) -> None:
            log_limit.warning("http.accept_failed", key=word, error=word, pause_s=PAUSE_S)

        def start(sock: socket.socket) -> None:
            tasks.create_task(self._connect(sock))

        accepting = tasks.create_task(accept_forever(listener, start, log_error))
        try:
            yield
        finally:
            accepting.cancel()
            await asyncio.wait([accepting])
            accept_waiting(listener, start)
            listener.close()

    async def _connect(self, sock: socket.socket) -> None:
        loop, protocol = asyncio.get_running_loop(), cast(Any, self.config.http_protocol_class)
        options = {"server_state": self.server_state, "app_state": self.lifespan.state}
        connect = partial(protocol, config=self.config, _loop=loop, **options)
        try:
            await loop.connect_accepted_socket(connect, sock)
        except OSError:  # the client has left
            sock.close()


@contextlib.asynccontextmanager
async def serve_app(
    app: Any,
    host: str,
    port: int,
    *,
    variable: str = "",
    drain_s: float = 10.0,
    concurrency: int = CONNECTIONS,
    timing: WebTiming = DEFAULT_TIMING,
    make_protocol: Callable[..., HttpProtocol] = HttpProtocol,
) -> AsyncGenerator[int]:
    """Serve `app` while the context lasts; yields the port, which the system chose for 0.

    At the end no new connection is taken, requests in flight get `drain_s` seconds. Of more than
    `concurrency` connections, or as many as descriptors allow, the longest idle are closed.
    `variable` is that of the address; `make_protocol` gets the arguments of a uvicorn protocol, and `head_s`.

    Raises:
        SettingsError: if the address cannot be bound.
        RuntimeError: if the application fails to start.
    """
    with bind(host, port, timing.unread_ms, variable=variable) as listener:
        places = limit_by_descriptors(concurrency)
        protocol = partial(make_protocol, head_s=timing.head_s)
        server = _Server(_configure(app, drain_s, places, timing, protocol))
        async with asyncio.TaskGroup() as tasks:
            serving = tasks.create_task(_serve(server))
            await _wait_started(server, serving)
            try:
                async with server.accept(listener, tasks):
                    yield int(listener.getsockname()[1])
            except Exception:  # the group would cancel the server, which tells it as a crash
                server.should_exit = True
                await asyncio.wait([serving])
                raise
            finally:
                server.should_exit = True


def _configure(app: Any, drain_s: float, places: int, timing: WebTiming, protocol: Any) -> Config:
    return Config(
        app,
        http=protocol,
        ws="none",
        lifespan="on",
        log_config=None,
        log_level="error",  # its warnings are what any client can cause, without a limit
        access_log=False,
        server_header=False,
        proxy_headers=False,
        limit_concurrency=places,
        timeout_keep_alive=timing.keep_alive_s,
        timeout_graceful_shutdown=max(1, round(drain_s)),
    )


async def _serve(server: _Server) -> None:
    try:
        await server.serve(sockets=[])  # it has its clients from `accept`
    except SystemExit as error:  # uvicorn's way to report that the application did not start
        raise RuntimeError("the application did not start; the log above says why") from error
    finally:
        await _end(server)


async def _end(server: _Server) -> None:
    """End what uvicorn leaves behind where it is cancelled, or where requests outlast the drain.

    A request that goes on would use what its application has closed by then.
    """
    for connection in list(server.server_state.connections):
        connection.transport.close()
    if requests := set(server.server_state.tasks):
        for request in requests:
            if not request.cancelling():
                request.cancel()
        await asyncio.wait(requests)
    if not server.lifespan.shutdown_event.is_set():
        # An application whose start hangs has no end, either.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(START_S):
                await server.lifespan.shutdown()


async def _wait_started(server: Server, serving: asyncio.Task[None]) -> None:
    async with asyncio.timeout(START_S):
        while not server.started:
            if serving.done():
                await serving
                raise RuntimeError("the application ended while it started")
            await asyncio.sleep(0.005)  # uvicorn has no event for it
