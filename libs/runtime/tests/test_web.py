"""Web server: socket options, time limits of clients, and room for new connections."""

import asyncio
import contextlib
import json
import socket
from typing import Any, override

import pytest

from towonel.runtime.sockets import bind
from towonel.runtime.web import WebTiming, serve_app


async def test_no_answer_waits_for_the_client_to_have_read_what_came_before() -> None:
    taken: asyncio.Future[asyncio.StreamWriter] = asyncio.get_running_loop().create_future()

    async def take(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        taken.set_result(writer)

    async with await asyncio.start_server(take, sock=bind("127.0.0.1", 0)) as server:
        _, client = await asyncio.open_connection(*server.sockets[0].getsockname())
        async with asyncio.timeout(20):
            ours = await taken
        delayed = not ours.get_extra_info("socket").getsockopt(
            socket.IPPROTO_TCP, socket.TCP_NODELAY
        )
        ours.close()
        client.close()

    assert not delayed


async def test_a_client_that_reads_nothing_of_an_answer_is_disconnected() -> None:
    lost: asyncio.Future[Exception | None] = asyncio.get_running_loop().create_future()

    class Answer(asyncio.Protocol):
        @override
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            assert isinstance(transport, asyncio.Transport)
            transport.write(bytes(64 * 1024 * 1024))
            transport.close()  # which waits for what was written

        @override
        def connection_lost(self, exc: Exception | None) -> None:
            lost.set_result(exc)

    loop = asyncio.get_running_loop()
    async with await loop.create_server(Answer, sock=bind("127.0.0.1", 0, unread_ms=500)) as server:
        with socket.create_connection(server.sockets[0].getsockname()):
            async with asyncio.timeout(20):
                assert isinstance(await lost, TimeoutError)


async def test_a_body_that_goes_on_after_the_answer_holds_no_connection() -> None:
    async def refuse(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await answer_lifespan(receive, send)
            return
        await send({"type": "http.response.start", "status": 404, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    timing = WebTiming(head_s=0.3)
    async with serve_app(refuse, "127.0.0.1", 0, timing=timing) as port, asyncio.timeout(20):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"POST / HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n")
        head = await reader.readuntil(b"\r\n\r\n")
        ended = asyncio.create_task(reader.read())
        while not ended.done():
            writer.write(b"1\r\nx\r\n")
            await asyncio.sleep(0.01)
        writer.close()
        with contextlib.suppress(ConnectionError):  # more was on its way when the hub closed
            await ended

    assert head.startswith(b"HTTP/1.1 404")


async def test_of_a_body_whose_request_is_answered_no_more_than_a_mebibyte_is_read() -> None:
    async def refuse(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await answer_lifespan(receive, send)
            return
        await send({"type": "http.response.start", "status": 413, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    body = bytes(64 * 1024 * 1024)
    async with serve_app(refuse, "127.0.0.1", 0) as port, asyncio.timeout(20):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"POST / HTTP/1.1\r\nhost: h\r\ncontent-length: %d\r\n\r\n" % len(body))
        head = await reader.readuntil(b"\r\n\r\n")
        with pytest.raises(ConnectionError):
            await write_slowly(writer, body)
        writer.close()

    assert head.startswith(b"HTTP/1.1 413")


async def test_what_no_client_should_send_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await answer_lifespan(receive, send)

    async with serve_app(app, "127.0.0.1", 0) as port, asyncio.timeout(20):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"this is no HTTP\r\n\r\n")
        answer = await reader.read()
        writer.close()

    assert answer.startswith(b"HTTP/1.1 400")
    assert caplog.records == []


async def write_slowly(writer: asyncio.StreamWriter, body: bytes) -> None:
    for start in range(0, len(body), 65_536):
        writer.write(body[start : start + 65_536])
        await writer.drain()


async def answer_lifespan(receive: Any, send: Any) -> None:
    for said in ("startup", "shutdown"):
        await receive()
        await send({"type": f"lifespan.{said}.complete"})


@pytest.mark.parametrize(
    "junk",
    [
        b"\x16\3\1\2\0\1\0\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: h\r\na: " + b"a" * 20_000,
        (
            b"POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 30\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
            b"GET / HTTP/1.1\r\nhost: h\r\n\r\n"
        ),
    ],
    ids=["tls", "half a line", "a head without an end", "two lengths"],
)
async def test_a_malformed_request_is_answered_with_the_rule_that_it_breaks(junk: bytes) -> None:
    async with serve_app(App(), "127.0.0.1", 0) as port, asyncio.timeout(20):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(junk)
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
        writer.close()
        good = await send_request(port)
        answer = await good[0].readuntil(b"done")
        good[1].close()

    assert head.startswith(b"HTTP/1.1 400")
    assert json.loads(body)["error"]["code"] == "invalid_request"
    # Nothing follows the answer: the connection was read to its end.
    assert "16384 bytes" in json.loads(body)["error"]["message"]
    assert answer.startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("path", ["/", "/slow"])
async def test_an_error_after_the_answer_began_only_ends_the_connection(path: str) -> None:
    trouble, app = list[Any](), App()
    asyncio.get_running_loop().set_exception_handler(lambda _, reported: trouble.append(reported))
    async with serve_app(app, "127.0.0.1", 0) as port, asyncio.timeout(20):
        reader, writer = await send_request(port, path, "transfer-encoding: chunked\r\n")
        await reader.readuntil(b"begun")
        app.go_on.set()
        writer.write(b"no chunk\r\n")
        await reader.read()
        writer.close()

    assert trouble == []


type Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def send_request(port: int, path: str = "/", more: str = "") -> Streams:
    streams = await asyncio.open_connection("127.0.0.1", port)
    streams[1].write(f"GET {path} HTTP/1.1\r\nhost: h\r\n{more}\r\n".encode())
    return streams


class App:
    """Application that answers; on one path it waits for `go_on` before the end."""

    def __init__(self) -> None:
        self.begun, self.go_on = asyncio.Event(), asyncio.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await answer_lifespan(receive, send)
            return
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"begun", "more_body": True})
        if scope["path"] == "/slow":
            self.begun.set()
            await self.go_on.wait()
        await send({"type": "http.response.body", "body": b"done"})


@pytest.mark.parametrize("word", ["", "POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 9\r\n\r\n"])
async def test_idle_connections_at_the_limit_make_room_for_a_request(word: str) -> None:
    app = App()
    async with serve_app(app, "127.0.0.1", 0, concurrency=20) as port, asyncio.timeout(20):
        busy = await send_request(port, "/slow")
        await app.begun.wait()
        idle = [await hold_connection(port, word.encode()) for _ in range(60)]
        other = await send_request(port)
        answers = [await other[0].readuntil(b"done")]
        app.go_on.set()
        answers.append(await busy[0].readuntil(b"done"))
        ended = [reader.at_eof() for reader, _ in idle]
        for _, writer in (busy, other, *idle):
            writer.close()

    assert all(answer.startswith(b"HTTP/1.1 200") for answer in answers)
    assert ended == sorted(ended, reverse=True)
    assert 10 < ended.count(False) < 20


@pytest.mark.parametrize("turns", range(8))
async def test_a_client_whose_connection_is_open_is_served_on_it(turns: int) -> None:
    """In some turns of the loop another one is accepted already, and room for it not made, or made just now."""
    async with serve_app(App(), "127.0.0.1", 0, concurrency=20) as port, asyncio.timeout(20):
        connections = [socket.create_connection(("127.0.0.1", port)) for _ in range(19)]
        await asyncio.sleep(0.05)  # they have their places
        connections.append(socket.create_connection(("127.0.0.1", port)))
        for _ in range(turns):
            await asyncio.sleep(0)
        answer = b"HTTP/1.1 200"
        if not is_ended(connections[0]):
            connections[0].sendall(b"GET / HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n")
            answer = await asyncio.to_thread(read_all, connections[0])
        for one in connections:
            one.close()

    assert answer.startswith(b"HTTP/1.1 200")


def is_ended(sock: socket.socket) -> bool:
    try:
        return not sock.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except BlockingIOError:
        return False


async def hold_connection(port: int, word: bytes) -> Streams:
    """Open a connection, and keep it open after the answer, if there is one."""
    streams = await asyncio.open_connection("127.0.0.1", port)
    streams[1].write(word)
    if word:
        await streams[0].readuntil(b"done\r\n0\r\n\r\n")
    return streams


async def test_clients_that_come_all_at_once_shut_out_no_client() -> None:
    async with serve_app(App(), "127.0.0.1", 0, concurrency=64) as port, asyncio.timeout(20):
        retained = [await asyncio.open_connection("127.0.0.1", port) for _ in range(63)]
        burst = [socket.create_connection(("127.0.0.1", port)) for _ in range(20)]
        for one in burst:  # the loop has not run since
            one.sendall(b"GET / HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n")
        answers = [await asyncio.to_thread(read_all, one) for one in burst]
        lost = [reader.at_eof() for reader, _ in retained].count(True)
        for _, writer in retained:
            writer.close()

    assert all(answer.startswith(b"HTTP/1.1 200") for answer in answers)
    assert 0 < lost <= 25


def read_all(sock: socket.socket) -> bytes:
    with sock:
        return b"".join(iter(lambda: sock.recv(4096), b""))


class Endless:
    """An application that answers no request, and takes its time when it is cancelled."""

    def __init__(self) -> None:
        self.started, self.ended = asyncio.Event(), asyncio.Event()
        self.port: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            for phase in ("startup", "shutdown"):
                await receive()
                await send({"type": f"lifespan.{phase}.complete"})
            return
        self.started.set()
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0.01)
            self.ended.set()

    async def serve(self) -> None:
        async with serve_app(self, "127.0.0.1", 0) as port:
            self.port.set_result(port)
            await asyncio.Event().wait()


async def test_a_server_that_is_cancelled_ends_its_requests_before_it_ends() -> None:
    before, app = asyncio.all_tasks(), Endless()
    serving = asyncio.create_task(app.serve())
    async with asyncio.timeout(20):
        reader, writer = await asyncio.open_connection("127.0.0.1", await app.port)
        writer.write(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        await app.started.wait()
        serving.cancel()
        await asyncio.wait([serving])
        has_ended, left = app.ended.is_set(), asyncio.all_tasks() - before
        await reader.read()
    writer.close()

    assert serving.cancelled()
    assert has_ended
    assert left == set()


async def test_a_server_that_is_cancelled_leaves_its_loop_as_it_was() -> None:
    ports, app = asyncio.Queue[int](), App()

    async def serve() -> None:
        async with serve_app(app, "127.0.0.1", 0) as port:
            await ports.put(port)
            await asyncio.Event().wait()

    async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
        serving = tasks.create_task(serve())
        reader, writer = await send_request(await ports.get(), "/slow")
        await app.begun.wait()
        serving.cancel()
        rest = await reader.read()
        writer.close()
    again = App()
    async with serve_app(again, "127.0.0.1", 0) as port, asyncio.timeout(20):
        reader, writer = await send_request(port)  # its listener has the descriptor of the other
        answer = await reader.readuntil(b"done")
        writer.close()

    assert b"done" not in rest
    assert answer.startswith(b"HTTP/1.1 200")
