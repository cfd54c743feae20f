"""The page of the demo, and the client that must tell the truth about it."""

import asyncio
import contextlib
import ssl
import subprocess
from collections.abc import AsyncGenerator
from pathlib import Path

import httpx
import pytest
from support.ports import free_port
from support.scripted_server import Server, serving

from towonel.cli.demo.page import (
    HOSTNAME,
    TITLE,
    fetch,
    serve_page,
    write_certificate,
)


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    return write_certificate(tmp_path)[0]


def url(port: int) -> str:
    return f"https://127.0.0.1:{port}/"


@contextlib.asynccontextmanager
async def impostor(certificate: Path, server: Server) -> AsyncGenerator[int]:
    """Port of another server with the certificate of the page."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, certificate.with_name("origin.key"))
    async with serving(server.serve, context) as port:
        yield port


def test_the_fingerprint_is_the_one_openssl_prints(tmp_path: Path) -> None:
    certificate, told = write_certificate(tmp_path)
    command = ("openssl", "x509", "-noout", "-fingerprint", "-sha256", "-in", str(certificate))
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout

    assert printed.strip().endswith(f"={told}")


async def test_a_client_sees_the_page(certificate: Path) -> None:
    port = free_port()
    async with serve_page(port, certificate):
        seen = await fetch(url(port), 5, certificate)

    assert (seen.http_version, seen.status_code) == ("HTTP/1.1", 200)
    assert f"<h1>{TITLE}</h1>" in seen.text


async def test_the_page_ends_with_its_context_and_has_no_body_for_head(certificate: Path) -> None:
    port, trusted = free_port(), ssl.create_default_context()
    trusted.check_hostname = False
    trusted.load_verify_locations(certificate)
    async with httpx.AsyncClient(verify=trusted, trust_env=False) as http:
        async with serve_page(port, certificate):
            answer = await http.head(url(port))
        with pytest.raises(httpx.ConnectError):
            await http.get(url(port))

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
        seen = await fetch(url(port), 5, certificate)

    assert TITLE in seen.text


async def test_a_client_refuses_another_certificate(
    certificate: Path, tmp_path: Path, server: Server
) -> None:
    other, _ = write_certificate(tmp_path / "other")

    async with impostor(certificate, server) as port:
        with pytest.raises(TimeoutError, match="CERTIFICATE_VERIFY_FAILED"):
            await fetch(url(port), 1.5, other)

    assert server.requests == []


async def test_a_client_says_what_was_there_instead_of_the_page(
    certificate: Path, server: Server
) -> None:
    server.reply(502)

    async with impostor(certificate, server) as port:
        with pytest.raises(TimeoutError, match="the answer was 502"):
            await fetch(url(port), 0.5, certificate)


async def test_a_client_gives_a_server_up_that_never_answers(
    certificate: Path, server: Server
) -> None:
    server.answer = None

    async with impostor(certificate, server) as port:
        with pytest.raises(TimeoutError, match="no answer"):
            await fetch(url(port), 0.1, certificate)

    assert len(server.requests) == 1


async def test_a_client_waits_for_a_page_that_comes_late(certificate: Path, server: Server) -> None:
    server.reply(503)

    async with impostor(certificate, server) as port, asyncio.TaskGroup() as tasks:
        fetching = tasks.create_task(fetch(url(port), 15, certificate))
        while len(server.requests) < 2:
            await asyncio.sleep(0.01)
        server.reply(200, f"<h1>{TITLE}</h1>")

    assert TITLE in fetching.result().text
    assert server.requests[0].headers["host"] == HOSTNAME
