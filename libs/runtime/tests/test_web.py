"""What a listening socket gives to the connections that it takes."""

import asyncio
import contextlib
import json
import socket
from typing import Any, override

import pytest

from towonel.runtime import web
from towonel.runtime.web import bind, serve_app


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


async def test_who_reads_nothing_of_an_answer_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web, "UNREAD_MS", 500)
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
    async with await loop.create_server(Answer, sock=bind("127.0.0.1", 0)) as server:
        with socket.create_connection(server.sockets[0].getsockname()):
            async with asyncio.timeout(20):
                assert isinstance(await lost, TimeoutError)


async def test_a_body_that_goes_on_after_the_answer_holds_no_connection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(web, "HEAD_TIMEOUT_S", 0.3)

    async def refuse(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await answer_lifespan(receive, send)
            return
        await send({"type": "http.response.start", "status": 404, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async with serve_app(refuse, "127.0.0.1", 0) as port, asyncio.timeout(20):
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
    ],
    ids=["tls", "half a line", "a head without an end"],
)
async def test_what_is_no_request_is_told_the_rule_as_any_other_mistake(junk: bytes) -> None:
    async with serve_app(App(), "127.0.0.1", 0) as port, asyncio.timeout(20):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(junk)
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
        writer.close()
        good = await asked(port)
        answer = await good[0].readuntil(b"done")
        good[1].close()

    assert head.startswith(b"HTTP/1.1 400")
    assert json.loads(body)["error"]["code"] == "invalid_request"
    assert "16384 bytes" in json.loads(body)["error"]["message"]
    assert answer.startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("path", ["/", "/slow"])
async def test_what_comes_wrong_after_the_answer_began_only_ends_the_connection(path: str) -> None:
    trouble, app = list[Any](), App()
    asyncio.get_running_loop().set_exception_handler(lambda _, told: trouble.append(told))
    async with serve_app(app, "127.0.0.1", 0) as port, asyncio.timeout(20):
        reader, writer = await asked(port, path, "transfer-encoding: chunked\r\n")
        await reader.readuntil(b"begun")
        app.go_on.set()
        writer.write(b"no chunk\r\n")
        await reader.read()
        writer.close()

    assert trouble == []


type Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def asked(port: int, path: str = "/", more: str = "") -> Streams:
    streams = await asyncio.open_connection("127.0.0.1", port)
    streams[1].write(f"GET {path} HTTP/1.1\r\nhost: h\r\n{more}\r\n".encode())
    return streams


class App:
    """Answers; on one path the end comes once it may."""

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
async def test_who_holds_every_place_and_asks_nothing_makes_room_for_who_asks(word: str) -> None:
    app = App()
    async with serve_app(app, "127.0.0.1", 0, concurrency=20) as port, asyncio.timeout(20):
        busy = await asked(port, "/slow")
        await app.begun.wait()
        idle = [await held(port, word.encode()) for _ in range(60)]
        other = await asked(port)
        answers = [await other[0].readuntil(b"done")]
        app.go_on.set()
        answers.append(await busy[0].readuntil(b"done"))
        ended = [reader.at_eof() for reader, _ in idle]
        for _, writer in (busy, other, *idle):
            writer.close()

    assert all(answer.startswith(b"HTTP/1.1 200") for answer in answers)
    assert ended == sorted(ended, reverse=True)
    assert 10 < ended.count(False) < 20


async def held(port: int, word: bytes) -> Streams:
    """Take a place, and keep it after the answer, if there is one."""
    streams = await asyncio.open_connection("127.0.0.1", port)
    streams[1].write(word)
    if word:
        await streams[0].readuntil(b"done\r\n0\r\n\r\n")
    return streams


async def test_who_come_all_at_once_shut_out_neither_each_other_nor_everybody_else() -> None:
    async with serve_app(App(), "127.0.0.1", 0, concurrency=64) as port, asyncio.timeout(20):
        kept = [await asyncio.open_connection("127.0.0.1", port) for _ in range(63)]
        burst = [socket.create_connection(("127.0.0.1", port)) for _ in range(20)]
        for one in burst:  # the loop has not run since
            one.sendall(b"GET / HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n")
        answers = [await asyncio.to_thread(read_all, one) for one in burst]
        lost = [reader.at_eof() for reader, _ in kept].count(True)
        for _, writer in kept:
            writer.close()

    assert all(answer.startswith(b"HTTP/1.1 200") for answer in answers)
    assert 0 < lost <= 25


def read_all(sock: socket.socket) -> bytes:
    with sock:
        return b"".join(iter(lambda: sock.recv(4096), b""))


async def test_a_server_that_is_cancelled_leaves_its_loop_as_it_was() -> None:
    ports, app = asyncio.Queue[int](), App()

    async def serve() -> None:
        async with serve_app(app, "127.0.0.1", 0) as port:
            await ports.put(port)
            await asyncio.Event().wait()

    async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
        serving = tasks.create_task(serve())
        reader, writer = await asked(await ports.get(), "/slow")
        await app.begun.wait()
        serving.cancel()
        rest = await reader.read()
        writer.close()
    again = App()
    async with serve_app(again, "127.0.0.1", 0) as port, asyncio.timeout(20):
        reader, writer = await asked(port)  # its listener has the descriptor of the other
        answer = await reader.readuntil(b"done")
        writer.close()

    assert b"done" not in rest
    assert answer.startswith(b"HTTP/1.1 200")
