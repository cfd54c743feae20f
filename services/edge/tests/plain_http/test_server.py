"""Server of plain HTTP: redirects, challenges through an agent, and bounds."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable
from typing import override

import pytest
from support.tunnel import until

from towonel.edge.core.route_table import RouteTable
from towonel.edge.data_plane.sockets import bind_socket
from towonel.edge.metrics import Metrics
from towonel.edge.plain_http.admission import BURST, PER_SOURCE, REFUSED, HttpAdmission
from towonel.edge.plain_http.server import HttpServer, HttpTiming
from towonel.edge.streams.access_log import AccessLogWriter
from towonel.edge.streams.refusals import Refusals
from towonel.edge.streams.upstream import ClientConnection, Upstream
from towonel.tunnel.pipe import CHUNK_BYTES, Pipe
from towonel.wire.errors import Code, Unavailable
from towonel.wire.ids import TenantId
from towonel.wire.names import Hostname, ServiceKind
from towonel.wire.policy.client_networks import ClientNetworks
from towonel.wire.routes import Route, RouteDelta

type Counted = Callable[..., float]

TENANT = TenantId(b"t" * 32)
FOREIGN = ClientNetworks(("192.0.2.0/24",))
ROUTES = (
    Route(ServiceKind.HTTPS, "app.example.eu", TENANT),
    Route(ServiceKind.HTTPS, "admin.example.eu", TENANT, clients=FOREIGN),
)
ANSWER = b"HTTP/1.1 200 OK\r\n\r\ntoken.thumbprint"
CHALLENGE = "/.well-known/acme-challenge/token"


class Answering(Pipe):
    """Pipe that gives an answer and its end, or nothing."""

    def __init__(self, answer: bytes | None) -> None:
        self._parts = [answer, b""]

    @override
    async def read(self, max_bytes: int = CHUNK_BYTES) -> bytes:
        part = self._parts.pop(0)
        if part is None:
            await asyncio.Event().wait()
        return part or b""

    @override
    async def write(self, data: bytes) -> None:
        raise AssertionError("no byte of a client goes to an agent")

    @override
    async def write_eof(self) -> None:
        raise AssertionError("as above")

    @override
    def abort(self, code: Code) -> None:
        return

    @override
    async def close(self) -> None:
        return


class Agents(Upstream):
    """Upstream whose agents answer alike, and which notes what they are asked."""

    def __init__(self, answer: bytes | None = ANSWER) -> None:
        self.asked: list[ClientConnection] = []
        self.answer = answer

    @override
    async def open(self, client: ClientConnection) -> Pipe:
        self.asked.append(client)
        if self.answer == b"":
            raise Unavailable(Code.ORIGIN_REFUSED)
        return Answering(self.answer)


@contextlib.asynccontextmanager
async def serving(
    metrics: Metrics,
    agents: Agents,
    *,
    head_s: float = 20.0,
    answer_s: float = 20.0,
    linger_s: float = 1.0,
) -> AsyncIterator[int]:
    table = RouteTable()
    table.apply(RouteDelta(1, snapshot=True, routes=ROUTES))
    server = HttpServer(
        *(table, agents, metrics, Refusals(metrics, 1.0), AccessLogWriter(metrics, 9)),
        log_share=1.0,
        timing=HttpTiming(head_s, answer_s, linger_s),
        hub_name=Hostname("hub.example.eu"),
    )
    listener = bind_socket("127.0.0.1", 0)
    listener.listen()
    async with server.run(listener):
        yield listener.getsockname()[1]


async def ask(port: int, target: str = "/", host: str = "app.example.eu", rest: bytes = b"") -> str:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode() + rest)
    async with asyncio.timeout(20):
        answer = await reader.read()
    writer.close()
    return answer.decode()


async def test_published_names_are_redirected_and_others_are_not_found(
    metrics: Metrics, counted: Counted
) -> None:
    async with serving(metrics, Agents()) as port:
        found = await ask(port, "/a?b", rest=b"GET / HTTP/1.1\r\nHost: app.example.eu\r\n\r\n")
        hub = await ask(port, host="hub.example.eu")
        unknown = await ask(port, host="b.eu")
        broken = await ask(port, "no-path")

    assert found.startswith("HTTP/1.1 308 ")
    assert "\r\nLocation: https://app.example.eu/a?b\r\n" in found
    assert found.count("HTTP/1.1") == 1  # what follows is no second request
    assert "\r\nLocation: https://hub.example.eu/\r\n" in hub
    assert unknown.startswith("HTTP/1.1 404 ")
    assert broken.startswith("HTTP/1.1 400 ")
    assert counted("http_requests_total", answer="redirect") == 2
    assert counted("http_requests_total", answer="refused") == 2


async def test_a_challenge_is_answered_by_an_agent(metrics: Metrics, counted: Counted) -> None:
    agents = Agents()
    async with serving(metrics, agents) as port:
        answer = await ask(port, CHALLENGE)
        of_hub = await ask(port, CHALLENGE, "hub.example.eu")

    assert answer.encode() == ANSWER
    assert of_hub.startswith("HTTP/1.1 404 ")
    [asked] = agents.asked
    assert (asked.challenge, asked.server_name, asked.first) == ("token", "app.example.eu", b"")
    assert str(asked.source.ip) == "127.0.0.1"
    assert counted("http_requests_total", answer="challenge") == 1


@pytest.mark.parametrize(
    ("answer", "host", "status"),
    [
        (b"", "app.example.eu", 502),
        (None, "app.example.eu", 504),
        (bytes(10_000), "app.example.eu", 502),
        (ANSWER, "admin.example.eu", 403),
    ],
)
async def test_a_challenge_that_fails_has_a_status(
    metrics: Metrics, answer: bytes | None, host: str, status: int
) -> None:
    async with serving(metrics, Agents(answer), answer_s=0.2) as port:
        said = await ask(port, CHALLENGE, host)

    assert said.startswith(f"HTTP/1.1 {status} ")


async def test_a_head_that_is_slow_or_long_ends(metrics: Metrics) -> None:
    async with serving(metrics, Agents(), head_s=0.2) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET / HTTP/1.1\r\n")
        slow = await reader.read()
        writer.close()
    async with serving(metrics, Agents()) as port:
        long = await ask(port, "/", rest=b"", host="a" * 9000)

    assert slow.startswith(b"HTTP/1.1 408 ")
    assert long.startswith("HTTP/1.1 400 ")


async def test_a_source_has_so_many_places_and_so_many_requests(
    metrics: Metrics, counted: Counted
) -> None:
    async with serving(metrics, Agents()) as port:
        sockets = [socket.create_connection(("127.0.0.1", port)) for _ in range(PER_SOURCE)]
        one_more = await ask(port)
        for sock in sockets:
            sock.close()

        assert one_more.startswith("HTTP/1.1 429 ")
        await until(lambda: counted("http_requests_total", answer="refused") == PER_SOURCE + 1)
        assert (await ask(port)).startswith("HTTP/1.1 308 ")


async def test_of_a_flood_the_edge_holds_no_more_than_it_can_tell_why(
    metrics: Metrics, counted: Counted
) -> None:
    async with serving(metrics, Agents(), linger_s=20.0) as port:
        count = PER_SOURCE + REFUSED
        held = [await asyncio.open_connection("127.0.0.1", port) for _ in range(count)]
        await until(lambda: counted("http_requests_total", answer="refused") == REFUSED)
        with contextlib.suppress(ConnectionResetError):
            assert await ask(port) == ""
        for _, writer in held:
            writer.transport.abort()

        assert counted("http_requests_total", answer="refused") >= REFUSED + 1


def test_an_address_that_asks_too_often_waits_and_others_do_not() -> None:
    admission = HttpAdmission()
    codes = []
    for _ in range(int(BURST) + 1):
        with admission.count("192.0.2.1") as code:
            codes.append(code)
    with admission.count("192.0.2.2") as other:
        pass

    assert codes == [None] * int(BURST) + [Code.RATE_LIMITED]
    assert other is None
