"""Log lines of refused clients: who and what, and never more than a few a second."""

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from ipaddress import ip_address
from typing import override

import pytest
from structlog.testing import capture_logs
from structlog.typing import EventDict
from support.clients import alert_of, client_hello
from support.edge_front import Front

from towonel.edge.core.route_table import RouteTable
from towonel.edge.streams.upstream import ClientConnection, Upstream
from towonel.tunnel.pipe import Pipe
from towonel.wire import proxy
from towonel.wire.errors import Code, Unavailable
from towonel.wire.ids import TenantId
from towonel.wire.names import ServiceKind
from towonel.wire.proxy import Address, ProxyHeader
from towonel.wire.routes import Route, RouteDelta

type StartFront = Callable[..., AbstractAsyncContextManager[Front]]

TENANT = TenantId(b"t" * 32)
LOOPBACK = "127.0.0.0/8"
LOCAL = proxy.SIGNATURE + b"\x20\0\0\0"


class NoAgent(Upstream):
    """Upstream of services that no agent serves."""

    @override
    async def open(self, client: ClientConnection) -> Pipe:
        raise Unavailable(Code.NO_AGENT, str(client.route.service))


def table(*names: str) -> RouteTable:
    made = RouteTable()
    routes = tuple(Route(ServiceKind.HTTPS, name, TENANT) for name in names)
    made.apply(RouteDelta(1, snapshot=True, routes=routes))
    return made


TABLE = table("app.example.eu", "web.example.eu")


def header_of(source: str) -> bytes:
    home, front = Address(ip_address(source), 54321), Address(ip_address("198.51.100.1"), 443)
    return proxy.encode(ProxyHeader(home, front))


async def lines_of(front: StartFront, *sent: bytes, **options: object) -> list[EventDict]:
    """The lines above debug that these clients cause, one after another."""
    with capture_logs() as lines:
        async with front(TABLE, NoAgent(), has_agent=False, **options) as edge:
            for data in sent:
                await alert_of(edge.port, data)
    return [line for line in lines if line["log_level"] != "debug"]


async def test_a_client_without_an_agent_is_logged_with_its_name_address_and_tenant(
    front: StartFront,
) -> None:
    (line,) = await lines_of(front, client_hello("app.example.eu"))

    assert str(line.pop("peer")).startswith("127.0.0.1:")
    assert line == {
        "event": "client.refused",
        "log_level": "info",
        "code": "no_agent",
        "detail": "https:app.example.eu",
        "hostname": "app.example.eu",
        "tenant_id": TENANT.hex(),
    }


@pytest.mark.parametrize(
    ("sent", "code", "hostname"),
    [
        (client_hello("nobody.example.org"), "no_route", "nobody.example.org"),
        (b"GET / HTTP/1.1\r\n\r\n", "not_tls", None),
        (client_hello("192.0.2.1"), "no_sni", None),
    ],
)
async def test_an_unknown_client_is_logged_with_its_address(
    front: StartFront, sent: bytes, code: str, hostname: str | None
) -> None:
    (line,) = await lines_of(front, sent)

    assert str(line["peer"]).startswith("127.0.0.1:")
    assert (line["code"], line.get("hostname"), line.get("tenant_id")) == (code, hostname, None)


async def test_behind_a_proxy_the_address_is_the_clients(front: StartFront) -> None:
    sent = header_of("203.0.113.7") + client_hello("nobody.example.org")
    (line,) = await lines_of(front, sent, proxies=[LOOPBACK])

    assert line["peer"] == "203.0.113.7:54321"


async def test_a_proxy_that_is_refused_is_warned_of_with_the_reason(front: StartFront) -> None:
    sent = b"PROXY TCP4 203.0.113.7 198.51.100.1 1 443\r\n"
    (line,) = await lines_of(front, sent, proxies=[LOOPBACK])

    assert (line["event"], line["log_level"]) == ("proxy.refused", "warning")
    assert "PROXY v1" in str(line["detail"])
    assert str(line["peer"]).startswith("127.0.0.1:")


async def test_a_health_check_is_no_line_of_the_log(front: StartFront) -> None:
    async def check(port: int, sent: bytes) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(sent)
        writer.write_eof()
        assert await reader.read() == b""
        writer.close()

    with capture_logs() as lines:
        async with front(TABLE, NoAgent(), has_agent=False, proxies=[LOOPBACK]) as edge:
            for sent in (b"", LOCAL):
                await check(edge.port, sent)

    assert {line["log_level"] for line in lines} == {"debug"}


async def test_many_clients_of_a_service_without_an_agent_are_counted_in_a_line_a_second(
    front: StartFront,
) -> None:
    hellos = [client_hello("app.example.eu"), client_hello("web.example.eu")] * 100
    started = asyncio.get_running_loop().time()
    lines = await lines_of(front, *hellos)
    lasted_s = asyncio.get_running_loop().time() - started

    assert {line["hostname"] for line in lines[:2]} == {"app.example.eu", "web.example.eu"}
    assert len(lines) <= 3 * (lasted_s + 2)  # of each name, and of those counted together


async def test_addresses_without_number_cause_few_lines(front: StartFront) -> None:
    hello = client_hello("nobody.example.org")
    sent = [header_of(f"203.0.113.{number}") + hello for number in range(200)]
    started = asyncio.get_running_loop().time()
    lines = await lines_of(front, *sent, proxies=[LOOPBACK])
    lasted_s = asyncio.get_running_loop().time() - started

    assert 0 < len(lines) <= 11 * (lasted_s + 1)
