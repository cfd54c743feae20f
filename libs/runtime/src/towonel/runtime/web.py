"""An ASGI application on a socket of ours: no signals taken, and an end that lets requests finish."""

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncGenerator, Generator
from http import HTTPStatus
from typing import Any, override

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from towonel.runtime.settings import SettingsError

BACKLOG = 1024
CONNECTIONS = 2_000
MAX_HEADER_BYTES = 16 * 1024
KEEP_ALIVE_S = 30
HEAD_TIMEOUT_S = 15.0  # from the connection, or a head's first byte, to its last
UNREAD_MS = 30_000  # for how long a client may take in nothing of what there is for it
START_S = 30.0


class _Protocol(H11Protocol):
    """HTTP/1.1 that does not wait for ever, as uvicorn does, for a head or for what nobody reads."""

    _late: asyncio.TimerHandle | None = None
    idle_since = 0.0

    @override
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.idle_since = self.loop.time()
        self._expect_head()
        if self.limit_concurrency and len(self.connections) >= self.limit_concurrency:
            self._make_room(self.limit_concurrency)

    @override
    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        # What still comes of a body whose request is answered counts to the time of the next head.
        if self.conn.their_state is h11.IDLE or self.conn.our_state is h11.DONE:
            self._expect_head()
        else:
            self._forget_head()

    @override
    def on_response_complete(self) -> None:
        self.idle_since = self.loop.time()
        super().on_response_complete()

    @override
    def send_400_response(self, msg: str) -> None:
        rule = f"this is no HTTP/1.1, or its head has more than {MAX_HEADER_BYTES} bytes"
        body = json.dumps({"error": {"code": "invalid_request", "message": rule}}).encode()
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
        self._forget_head()
        super().connection_lost(exc)

    def _expect_head(self) -> None:
        if self._late is None:
            self._late = self.loop.call_later(HEAD_TIMEOUT_S, self.transport.close)

    def _forget_head(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def _make_room(self, places: int) -> None:
        """Close connections on which nothing is asked, the longest idle first.

        Whoever holds every place without a word would shut everybody else out. Some are closed at once,
        so that not each new connection has to.
        """
        alive = [
            one
            for one in self.connections
            if isinstance(one, _Protocol) and not one.transport.is_closing()
        ]
        if len(alive) < places:  # others of this turn of the loop have made room
            return
        idle = sorted((one for one in alive if one.is_idle), key=lambda one: one.idle_since)
        for one in idle[: 1 + places // 16]:
            one.transport.close()

    @property
    def is_idle(self) -> bool:
        """Whether no request is on its way, or only what is left of one that was answered."""
        return self.conn.their_state is h11.IDLE or self.conn.our_state is h11.DONE


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    @override
    def capture_signals(self) -> Generator[None]:
        """Leave signals to the lifecycle, which owns them."""
        yield

    async def abort(self) -> None:
        """End at once, which uvicorn does not when it is cancelled: its listener would stay in the loop."""
        for listening in self.servers:
            listening.close()
        running = [*self.server_state.tasks]
        for task in running:
            task.cancel()
        if running:
            await asyncio.wait(running)
        for connection in [*self.server_state.connections]:
            if isinstance(connection, _Protocol):
                connection.transport.abort()


def bind(host: str, port: int) -> socket.socket:
    """Return a listening TCP socket.

    Raises:
        SettingsError: where the address is in use or not of this machine.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Named, since asyncio turns Nagle off only where it is: an answer in two pieces took 40 ms.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if hasattr(socket, "TCP_USER_TIMEOUT"):  # on Linux; connections have it from their listener
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNREAD_MS)
        listener.bind((host, port))
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise SettingsError(
            [f"cannot listen on {host}:{port}: {error.strerror or error}"]
        ) from error
    listener.setblocking(False)
    return listener


@contextlib.asynccontextmanager
async def serve_app(
    app: Any, host: str, port: int, *, drain_s: float = 10.0, concurrency: int = CONNECTIONS
) -> AsyncGenerator[int]:
    """Serve `app` while the context lasts; yields the port, which the system chose for 0.

    At the end no new connection is taken, requests in flight get `drain_s` seconds. Of more than
    `concurrency` connections the longest idle are closed.

    Raises:
        SettingsError: where the address cannot be had.
        RuntimeError: where the application fails to start.
    """
    with bind(host, port) as listener:
        server = _Server(
            uvicorn.Config(
                app,
                http=_Protocol,
                ws="none",
                lifespan="on",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                limit_concurrency=concurrency,
                timeout_keep_alive=KEEP_ALIVE_S,
                timeout_graceful_shutdown=max(1, round(drain_s)),
                h11_max_incomplete_event_size=MAX_HEADER_BYTES,
            )
        )
        async with asyncio.TaskGroup() as tasks:
            serving = tasks.create_task(_serve(server, listener))
            await _started(server, serving)
            try:
                yield int(listener.getsockname()[1])
            except Exception:  # the group would cancel the server, which tells it as a crash
                server.should_exit = True
                await asyncio.wait([serving])
                raise
            finally:
                server.should_exit = True


async def _serve(server: _Server, listener: socket.socket) -> None:
    try:
        await server.serve(sockets=[listener])
    except SystemExit as error:  # how uvicorn says that the application did not start
        raise RuntimeError("the application did not start; the log above says why") from error
    except asyncio.CancelledError:
        await server.abort()
        raise


async def _started(server: uvicorn.Server, serving: asyncio.Task[None]) -> None:
    async with asyncio.timeout(START_S):
        while not server.started:
            if serving.done():
                await serving
                raise RuntimeError("the application ended while it started")
            await asyncio.sleep(0.005)  # uvicorn has no event for it
