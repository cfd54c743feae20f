"""The page of the demo, and the client that must tell the truth about it."""

import asyncio
import contextlib
import ssl
import subprocess
from collections.abc import AsyncGenerator
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
from support.ports import free_port
from support.scripted_server import Server, serving

from towonel.cli.demo.page import (
    HOSTNAME,
    TITLE,
    FetchFailed,
    fetch,
    fingerprint,
    serve_page,
    write_certificate,
)

NOW = datetime.now(UTC)


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    return write_certificate(tmp_path, NOW)[0]


def der_of(certificate: Path) -> bytes:
    return ssl.PEM_cert_to_DER_cert(certificate.read_text())


@contextlib.asynccontextmanager
async def impostor(certificate: Path, server: Server) -> AsyncGenerator[int]:
    """Port of another server with the certificate of the page."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, certificate.with_name("origin.key"))
    async with serving(server.serve, context) as port:
        yield port


def test_the_fingerprint_is_the_one_openssl_prints(tmp_path: Path) -> None:
    certificate, told = write_certificate(tmp_path, NOW)
    command = ("openssl", "x509", "-noout", "-fingerprint", "-sha256", "-in", str(certificate))
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout

    assert printed.strip().endswith(f"={told}")


async def test_a_client_sees_the_page_and_the_services_own_certificate(certificate: Path) -> None:
    port = free_port()
    async with serve_page(port, certificate):
        seen = await fetch(port, certificate)

    assert (seen.status, seen.heading) == ("HTTP/1.1 200 OK", TITLE)
    assert seen.fingerprint == fingerprint(der_of(certificate))
    assert seen.protocol == "TLSv1.3"


async def test_the_page_ends_with_its_context_and_has_no_body_for_head(certificate: Path) -> None:
    port, trusted = free_port(), ssl.create_default_context()
    trusted.check_hostname = False
    trusted.load_verify_locations(certificate)
    url = f"https://127.0.0.1:{port}/"
    async with httpx.AsyncClient(verify=trusted, trust_env=False) as http:
        async with serve_page(port, certificate):
            answer = await http.head(url)
        with pytest.raises(httpx.ConnectError):
            await http.get(url)

    assert (answer.status_code, answer.content) == (200, b"")
    assert int(answer.headers["content-length"]) > len(TITLE)


@pytest.mark.parametrize("request_", [b"", b"GET / HTTP/1.1\r\n", b"x" * 100_000])
async def test_the_page_survives_a_client_that_asks_for_nothing(
    certificate: Path, request_: bytes
) -> None:
    port, trusted = free_port(), ssl.create_default_context(cafile=str(certificate))
    async with serve_page(port, certificate):
        _, writer = await asyncio.open_connection(
            "127.0.0.1", port, ssl=trusted, server_hostname=HOSTNAME
        )
        with contextlib.suppress(ConnectionError):
            writer.write(request_)
            await writer.drain()
        writer.transport.abort()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
        seen = await fetch(port, certificate)

    assert seen.heading == TITLE


async def test_a_client_refuses_another_certificate(
    certificate: Path, tmp_path: Path, server: Server
) -> None:
    other, _ = write_certificate(tmp_path / "other", NOW)

    async with impostor(certificate, server) as port:
        with pytest.raises(FetchFailed, match="CERTIFICATE_VERIFY_FAILED"):
            await fetch(port, other, patience_s=0.3)

    assert server.requests == []


@pytest.mark.parametrize(
    ("status", "body", "rule"), [(502, "<h1>x</h1>", "502"), (200, "no heading", "not the page")]
)
async def test_a_client_says_what_was_there_instead_of_the_page(
    certificate: Path, server: Server, status: int, body: str, rule: str
) -> None:
    server.reply(status, body)

    async with impostor(certificate, server) as port:
        with pytest.raises(FetchFailed, match=rule):
            await fetch(port, certificate, patience_s=0.5)


async def test_a_client_waits_for_a_page_that_comes_late(certificate: Path, server: Server) -> None:
    server.reply(503)

    async with impostor(certificate, server) as port, asyncio.TaskGroup() as tasks:
        fetching = tasks.create_task(fetch(port, certificate))
        while len(server.requests) < 2:
            await asyncio.sleep(0.01)
        server.reply(200, f"<h1>{TITLE}</h1>")

    assert fetching.result().heading == TITLE
    assert server.requests[0].headers["host"] == HOSTNAME
