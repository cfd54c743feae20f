"""TLS listener and well-behaved clients, over real sockets, with the origin as upstream."""

import asyncio
import socket
import ssl
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import override

import pytest
from support.clients import client_hello
from support.edge_front import Front
from support.tunnel import until

from towonel.edge.core.admission import AdmissionLimits
from towonel.edge.core.route_table import RouteTable
from towonel.edge.streams.upstream import ClientConnection, Upstream
from towonel.tunnel.pipe import Pipe
from towonel.tunnel.sockets import SocketPipe
from towonel.wire import proxy
from towonel.wire.errors import Code, TowonelError, Unavailable
from towonel.wire.ids import TenantId
from towonel.wire.names import ServiceKind
from towonel.wire.proxy import Address, ProxyHeader
from towonel.wire.routes import Route, RouteDelta, TlsMode

type StartFront = Callable[..., AbstractAsyncContextManager[Front]]
type Counted = Callable[..., float]

TENANT = TenantId(b"t" * 32)
INTERNAL_ERROR = bytes([21, 3, 3, 0, 2, 2, 80])
LOOPBACK = "127.0.0.0/8"


@dataclass
class DirectUpstream(Upstream):
    """Upstream without a tunnel: a TCP connection to the origin, or a refusal."""

    port: int = 0
    failure: TowonelError | None = None
    clients: list[ClientConnection] = field(default_factory=list[ClientConnection])

    @override
    async def open(self, client: ClientConnection) -> Pipe:
        self.clients.append(client)
        if self.failure is not None:
            raise self.failure
        pipe = SocketPipe(socket.create_connection(("127.0.0.1", self.port)))
        await pipe.write(client.first)
        return pipe


def table(*names: str, mode: TlsMode = TlsMode.PASSTHROUGH) -> RouteTable:
    made = RouteTable()
    routes = tuple(Route(ServiceKind.HTTPS, name, TENANT, tls_mode=mode) for name in names)
    made.apply(RouteDelta(1, snapshot=True, routes=routes))
    return made


APP = table("app.example.eu", "*.example.eu")


async def echo(
    port: int, tls: ssl.SSLContext, data: bytes = b"hello", name: str = "app.example.eu"
) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=tls, server_hostname=name)
    writer.write(data)
    answer = await reader.readexactly(len(data))
    writer.close()
    await writer.wait_closed()
    return answer


@pytest.mark.parametrize("name", ["app.example.eu", "other.example.eu"])
async def test_a_client_reaches_the_origin_with_the_origins_own_certificate(
    front: StartFront, origin: int, client_tls: ssl.SSLContext, name: str
) -> None:
    upstream = DirectUpstream(origin)

    async with front(APP, upstream) as edge:
        assert await echo(edge.port, client_tls, name=name) == b"hello"

    client = upstream.clients[0]
    assert client.server_name == name
    assert client.route.name == ("app.example.eu" if name == "app.example.eu" else "*.example.eu")
    assert client.source.ip == ip_address("127.0.0.1")
    assert client.destination == Address(ip_address("127.0.0.1"), edge.port)


async def test_what_was_relayed_is_counted_to_the_byte(
    front: StartFront, origin: int, client_tls: ssl.SSLContext, counted: Counted
) -> None:
    payload = bytes(range(256)) * 4096

    async with front(APP, DirectUpstream(origin)) as edge:
        assert await echo(edge.port, client_tls, payload) == payload
        await edge.drain()

    assert counted("connections_total") == 1
    assert counted("active_connections") == 0
    assert counted("connections_ended_total", code="normal") == 1
    assert len(payload) < counted("bytes_in_total") < len(payload) * 1.02 + 4096
    assert len(payload) < counted("bytes_out_total") < len(payload) * 1.02 + 4096


async def test_openssl_sees_the_alert_of_an_unknown_name(
    front: StartFront, counted: Counted
) -> None:
    async with front(APP, DirectUpstream()) as edge:
        process = await asyncio.create_subprocess_exec(
            *("openssl", "s_client", "-connect", f"127.0.0.1:{edge.port}"),
            *("-servername", "nobody.example.org"),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output, _ = await process.communicate()

    assert b"unrecognized name" in output
    assert counted("connections_refused_total", code="no_route") == 1


@pytest.mark.parametrize("code", [Code.NO_AGENT, Code.ORIGIN_REFUSED, Code.OVERLOADED])
async def test_an_upstream_that_fails_is_an_internal_error_to_the_client(
    front: StartFront, client_tls: ssl.SSLContext, counted: Counted, code: Code
) -> None:
    async with front(APP, DirectUpstream(failure=Unavailable(code))) as edge:
        with pytest.raises(ssl.SSLError, match=r"(?i)internal.error"):
            await echo(edge.port, client_tls)

    assert counted("connections_refused_total", code=code.word) == 1


async def test_a_bug_ends_its_own_client_only(
    front: StartFront, origin: int, client_tls: ssl.SSLContext, counted: Counted
) -> None:
    class Broken(DirectUpstream):
        @override
        async def open(self, client: ClientConnection) -> Pipe:
            if not self.clients:
                self.clients.append(client)
                raise ZeroDivisionError
            return await super().open(client)

    async with front(APP, Broken(origin)) as edge:
        with pytest.raises(OSError, match=r".*"):
            await echo(edge.port, client_tls)
        assert await echo(edge.port, client_tls) == b"hello"

    assert counted("connections_refused_total", code="internal") == 1


async def test_an_agent_that_ends_tls_itself_gets_it_as_it_is(
    front: StartFront, origin: int, client_tls: ssl.SSLContext
) -> None:
    async with front(table("app.example.eu", mode=TlsMode.AGENT), DirectUpstream(origin)) as edge:
        assert await echo(edge.port, client_tls) == b"hello"


@pytest.mark.parametrize(
    ("limits", "code"),
    [
        (AdmissionLimits(1, 9, 9), "overloaded"),
        (AdmissionLimits(9, 1, 9), "limit_exceeded"),
        (AdmissionLimits(9, 9, 1), "limit_exceeded"),
    ],
)
async def test_one_client_too_many_gets_an_alert_and_may_retry_later(
    front: StartFront,
    origin: int,
    client_tls: ssl.SSLContext,
    counted: Counted,
    limits: AdmissionLimits,
    code: str,
) -> None:
    async with front(APP, DirectUpstream(origin), limits) as edge:
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", edge.port, ssl=client_tls, server_hostname="app.example.eu"
        )
        with pytest.raises(ssl.SSLError, match=r"(?i)internal.error"):
            await echo(edge.port, client_tls)
        writer.close()
        assert await reader.read() == b""
        await writer.wait_closed()
        await until(lambda: counted("connections_refused_total", code=code) == 1)
        await until(lambda: not counted("active_connections"))
        assert await echo(edge.port, client_tls) == b"hello"


async def test_one_source_gets_its_share_of_a_tenants_places_and_others_get_the_rest(
    front: StartFront, origin: int, client_tls: ssl.SSLContext, counted: Counted
) -> None:
    limits = AdmissionLimits(99, 99, 99, source_share=0.25)
    upstream = DirectUpstream(origin)

    async with front(APP, upstream, limits, proxies=[LOOPBACK], streams_per_session=8) as edge:
        held = [await connect_from(edge.port, "203.0.113.7") for _ in range(3)]
        refused = await held[2][0].read()
        held.append(await connect_from(edge.port, "203.0.113.8"))
        async with asyncio.timeout(20):
            while len(upstream.clients) < 3:
                await asyncio.sleep(0.01)
        for _, writer in held:
            writer.close()

    assert refused == INTERNAL_ERROR
    assert counted("connections_refused_total", code="limit_exceeded") == 1


async def connect_from(port: int, source: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Say a ClientHello and then nothing, as a client of this address."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    home = Address(ip_address(source), 54321)
    writer.write(proxy.encode(ProxyHeader(home, Address(ip_address("198.51.100.1"), 443))))
    writer.write(client_hello("app.example.eu"))
    return reader, writer


HEADER = proxy.encode(
    ProxyHeader(Address(ip_address("203.0.113.7"), 54321), Address(ip_address("198.51.100.1"), 443))
)


async def echo_through_proxy(port: int, tls: ssl.SSLContext, header: bytes) -> bytes:
    """Send a header in two pieces, then speak TLS on the same connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for piece in (header[:7], header[7:]):
        writer.write(piece)
        await asyncio.sleep(0.02)
    await writer.start_tls(tls, server_hostname="app.example.eu")
    writer.write(b"hello")
    answer = await reader.readexactly(5)
    writer.close()
    await writer.wait_closed()
    return answer


async def test_a_trusted_proxy_tells_the_clients_address(
    front: StartFront, origin: int, client_tls: ssl.SSLContext
) -> None:
    upstream = DirectUpstream(origin)

    async with front(APP, upstream, proxies=[LOOPBACK]) as edge:
        assert await echo_through_proxy(edge.port, client_tls, HEADER) == b"hello"

    assert str(upstream.clients[0].source) == "203.0.113.7:54321"
    assert str(upstream.clients[0].destination) == "198.51.100.1:443"


@pytest.mark.parametrize(
    "header",
    [
        proxy.SIGNATURE + b"\x20\0\0\0",  # LOCAL
        proxy.SIGNATURE + b"\x21\0\0\0",  # PROXY of an unspecified family
        HEADER[:13] + b"\x31" + HEADER[14:],  # of a Unix socket
    ],
)
async def test_a_trusted_proxy_that_names_no_client_is_the_client(
    front: StartFront, origin: int, client_tls: ssl.SSLContext, header: bytes
) -> None:
    upstream = DirectUpstream(origin)

    async with front(APP, upstream, proxies=[LOOPBACK]) as edge:
        assert await echo_through_proxy(edge.port, client_tls, header) == b"hello"
        own = Address(ip_address("127.0.0.1"), edge.port)

    assert upstream.clients[0].source.ip == own.ip
    assert upstream.clients[0].destination == own


async def test_limits_count_the_client_and_not_the_proxy(
    front: StartFront, origin: int, client_tls: ssl.SSLContext, counted: Counted
) -> None:
    async with front(
        APP, DirectUpstream(origin), AdmissionLimits(9, 0, 9), proxies=[LOOPBACK]
    ) as edge:
        with pytest.raises(OSError, match=r".*"):
            await echo_through_proxy(edge.port, client_tls, HEADER)

    assert counted("connections_refused_total", code="limit_exceeded") == 1


async def test_a_trusted_proxy_without_a_header_is_closed_without_an_alert(
    front: StartFront, counted: Counted
) -> None:
    async with front(APP, DirectUpstream(), proxies=[LOOPBACK]) as edge:
        reader, writer = await asyncio.open_connection("127.0.0.1", edge.port)
        writer.write(bytes([22, 3, 1, 0, 5]) + bytes(20))
        assert await reader.read() == b""
        writer.close()

    assert counted("connections_refused_total", code="bad_proxy_header") == 1


async def test_a_header_of_an_untrusted_peer_is_not_tls(
    front: StartFront, counted: Counted
) -> None:
    async with front(APP, DirectUpstream(), proxies=["192.0.2.0/24"]) as edge:
        reader, writer = await asyncio.open_connection("127.0.0.1", edge.port)
        writer.write(HEADER)
        assert await reader.read() == b""
        writer.close()

    assert counted("connections_refused_total", code="not_tls") == 1
