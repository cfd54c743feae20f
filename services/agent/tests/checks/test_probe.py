"""Probe of an origin: what passes a check, and what is wrong where none does."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from support.origins import Certificates, silent_port

from towonel.agent.checks.probe import OriginProbe
from towonel.agent.core.checks.origin_check import CheckKind, OriginCheck
from towonel.agent.core.services import Origin, ProxyProtocol, Service
from towonel.agent.core.tls.origin_tls import OriginTls
from towonel.agent.origin_dialer import OriginDialer
from towonel.runtime.dns.resolver import Resolver
from towonel.wire import proxy
from towonel.wire.names import ServiceKey, ServiceKind

NAME = "app.example.eu"
WEB, ANY = ServiceKey(ServiceKind.HTTPS, NAME), ServiceKey(ServiceKind.HTTPS, "*.example.eu")
SSH = ServiceKey(ServiceKind.TCP, "ssh")


@dataclass
class Web:
    """Web server with one answer, which keeps what it is asked for."""

    answer: bytes
    with_header: bool = False
    port: int = 0
    heads: list[bytes] = field(default_factory=list[bytes])
    asked: list[bytes] = field(default_factory=list[bytes])

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            if self.with_header:
                self.heads.append(await reader.readexactly(len(proxy.LOCAL)))
            self.asked.append(await reader.readuntil(b"\r\n\r\n"))
            writer.write(self.answer)
        writer.close()


@contextlib.asynccontextmanager
async def serving(
    web: Web, tls: Certificates | None = None, host: str = "127.0.0.1"
) -> AsyncGenerator[Web]:
    context = None if tls is None else tls.server(NAME)
    async with await asyncio.start_server(web.serve, host, 0, ssl=context) as server:
        web.port = server.sockets[0].getsockname()[1]
        yield web


async def probe(
    port: int,
    check: OriginCheck,
    key: ServiceKey = WEB,
    proxied: ProxyProtocol = ProxyProtocol.NONE,
    **origin: Any,
) -> str | None:
    service = Service(
        key, Origin(**{"host": "127.0.0.1", **origin}, port=port, proxy_protocol=proxied)
    )
    return await OriginProbe(OriginDialer(Resolver(), 1)).run(service, check)


@pytest.mark.parametrize("status", ["200 OK", "204", "301 Moved", "399 x"])
async def test_an_answer_from_200_to_399_passes(status: str) -> None:
    async with serving(Web(f"HTTP/1.1 {status}\r\n\r\n".encode())) as web:
        assert await probe(web.port, OriginCheck(CheckKind.HTTP, "/healthz?a=1")) is None

    assert web.asked[0].startswith(b"GET /healthz?a=1 HTTP/1.1\r\nHost: app.example.eu\r\n")


@pytest.mark.parametrize(
    "answer", [b"HTTP/1.1 503 No\r\n", b"HTTP/1.1 404\r\n", b"SSH-2.0\r\n", b"", b"HTTP/1.1 200"]
)
async def test_any_other_answer_fails_and_is_named(answer: bytes) -> None:
    async with serving(Web(answer)) as web:
        problem = await probe(web.port, OriginCheck(CheckKind.HTTP, "/healthz"))

    shown = answer.decode().strip() or "nothing"
    assert problem == f"127.0.0.1:{web.port}: answers /healthz with {shown}"


async def test_an_answer_without_an_end_of_line_fails() -> None:
    async with serving(Web(b"x" * 100_000)) as web:
        assert await probe(web.port, OriginCheck(CheckKind.HTTP)) is not None


@pytest.mark.parametrize("key", [WEB, ANY, SSH])
async def test_an_origin_of_tls_is_asked_inside_it(key: ServiceKey, tmp_path: Path) -> None:
    web = Web(b"HTTP/1.0 200\r\n\r\n")
    async with serving(web, Certificates(tmp_path)):
        assert await probe(web.port, OriginCheck(CheckKind.HTTPS), key) is None
        assert await probe(web.port, OriginCheck(CheckKind.TLS), key) is None
        assert await probe(web.port, OriginCheck(CheckKind.HTTP), key) is not None

    hosts = {WEB: b"app.example.eu", ANY: b"check.example.eu", SSH: b"127.0.0.1"}
    assert b"\r\nHost: " + hosts[key] + b"\r\n" in web.asked[0]


async def test_an_address_of_ipv6_stands_in_brackets_where_it_is_asked_for() -> None:
    async with serving(Web(b"HTTP/1.1 200\r\n\r\n"), host="::1") as web:
        assert await probe(web.port, OriginCheck(CheckKind.HTTP), SSH, host="::1") is None

    assert b"\r\nHost: [::1]\r\n" in web.asked[0]


async def test_the_first_port_of_a_range_is_asked_and_named() -> None:
    async with serving(Web(b"HTTP/1.1 503\r\n")) as web:
        problem = await probe(web.port, OriginCheck(CheckKind.HTTP), SSH, last_port=65_535)

    assert problem == f"127.0.0.1:{web.port}: answers / with HTTP/1.1 503"


async def test_an_origin_that_speaks_no_tls_fails_a_check_of_it() -> None:
    async with serving(Web(b"SSH-2.0\r\n")) as web:
        assert await probe(web.port, OriginCheck(CheckKind.TLS, timeout_s=1)) is not None


@pytest.mark.parametrize("kind", CheckKind)
async def test_an_origin_that_wants_proxy_headers_is_told_that_there_is_no_client(
    kind: CheckKind,
) -> None:
    async with serving(Web(b"HTTP/1.1 200\r\n\r\n", with_header=True)) as web:
        problem = await probe(web.port, OriginCheck(kind), proxied=ProxyProtocol.V2)
        while not web.heads:
            await asyncio.sleep(0)

    assert proxy.read(web.heads[0]) == (None, len(proxy.LOCAL))
    assert (problem is None) == (kind in {CheckKind.HTTP, CheckKind.TCP})


async def test_an_address_of_its_own_is_asked_in_the_origins_place_without_a_header() -> None:
    async with serving(Web(b"HTTP/1.1 200\r\n\r\n")) as web:
        check = OriginCheck(CheckKind.HTTP, address=("127.0.0.1", web.port))

        assert await probe(1, check, SSH, ProxyProtocol.V2) is None


@pytest.mark.parametrize("kind", [CheckKind.TLS, CheckKind.HTTPS])
async def test_an_origin_is_verified_by_its_check_as_for_clients(
    kind: CheckKind, tmp_path: Path
) -> None:
    certificates = Certificates(tmp_path)
    own = OriginTls(NAME, str(certificates.ca_file))
    unknown, missing = OriginTls(NAME), OriginTls(NAME, "/nowhere.pem")
    async with serving(Web(b"HTTP/1.1 200\r\n\r\n"), certificates) as web:
        check = OriginCheck(kind)

        assert await probe(web.port, check, ANY, tls=own) is None
        assert "name the PEM file" in str(await probe(web.port, check, tls=unknown))
        assert "/nowhere.pem cannot be used" in str(await probe(web.port, check, tls=missing))
        elsewhere = OriginCheck(kind, address=("127.0.0.1", web.port))
        assert await probe(1, elsewhere, tls=unknown) is None


@pytest.mark.parametrize("kind", CheckKind)
async def test_an_origin_that_is_not_there_fails(kind: CheckKind) -> None:
    with silent_port("127.0.0.1") as port:
        problem = await probe(port, OriginCheck(kind, timeout_s=1))

    assert problem is not None
    assert problem.startswith(f"127.0.0.1:{port}: ")
