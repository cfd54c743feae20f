"""Page of the demo: an HTTPS server with a certificate of its own, and a client that verifies it."""

import asyncio
import contextlib
import hashlib
import re
import secrets
import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import httpx

from towonel.identity.certs import create_certificate, encode_private_key
from towonel.identity.keys import SEED_BYTES, NodeKey
from towonel.runtime import secretfile
from towonel.runtime.sockets import abort_server

HOSTNAME, HOST = "app.demo.example", "127.0.0.1"
TITLE = "Hello from home"
REQUEST_S = 10.0
FETCH_S = 15.0  # for the route to reach the edge
RETRY_S = 0.05
_PAGE = f"""<!doctype html>
<title>{TITLE}</title>
<h1>{TITLE}</h1>
<p>You reached a service that listens on loopback only, through a tunnel that it dialled itself.
<p>The TLS you see ends here: the machines in between carried it, and could not read it.
""".encode()
_HEAD = f"""HTTP/1.1 200 OK\r
Content-Type: text/html; charset=utf-8\r
Content-Length: {len(_PAGE)}\r
Connection: close\r
\r
""".encode()


class FetchFailed(Exception):
    """The page could not be fetched; the text says what was there instead."""


@dataclass(frozen=True, slots=True)
class Page:
    """Answer as a client saw it: status line, heading, TLS version, fingerprint of the certificate."""

    status: str
    heading: str
    protocol: str
    fingerprint: str


async def fetch(port: int, certificate: Path, patience_s: float = FETCH_S) -> Page:
    """Fetch the page from a port of loopback, as `retry` does; trust this certificate alone."""
    context = ssl.create_default_context(cafile=str(certificate))
    async with httpx.AsyncClient(verify=context, trust_env=False, timeout=REQUEST_S) as http:
        return await retry(lambda: _fetch_once(http, port), patience_s)


async def retry[T](attempt: Callable[[], Awaitable[T]], patience_s: float) -> T:
    """Return what an attempt to fetch returns, as soon as one succeeds.

    Raises:
        FetchFailed: after `patience_s` seconds, with what went wrong last.
    """
    last = "no answer"
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(patience_s):
            while True:
                try:
                    return await attempt()
                except (httpx.HTTPError, FetchFailed) as error:
                    last = str(error) or type(error).__name__
                await asyncio.sleep(RETRY_S)
    raise FetchFailed(last)


async def _fetch_once(http: httpx.AsyncClient, port: int) -> Page:
    request = http.build_request("GET", f"https://{HOST}:{port}/", headers={"host": HOSTNAME})
    request.extensions["sni_hostname"] = HOSTNAME
    response = await http.send(request, stream=True)
    async with contextlib.aclosing(response):
        tls: ssl.SSLObject = response.extensions["network_stream"].get_extra_info("ssl_object")
        body = (await response.aread()).decode(errors="replace")
    status = f"{response.http_version} {response.status_code} {response.reason_phrase}"
    heading = re.search(r"<h1>([^<]*)</h1>", body)
    if not response.is_success or heading is None:
        raise FetchFailed(f"the answer was {status!r}, not the page")
    certificate = tls.getpeercert(binary_form=True) or b""
    return Page(status, heading[1], tls.version() or "", fingerprint(certificate))


def write_certificate(folder: Path, now: datetime) -> tuple[Path, str]:
    """Write a certificate for the demo's hostname, and its key; return its path and fingerprint."""
    key = NodeKey.from_seed(secrets.token_bytes(SEED_BYTES))
    pem, path = create_certificate(key, now, HOSTNAME), folder / "origin.pem"
    secretfile.replace(path, pem.encode())
    secretfile.replace(path.with_suffix(".key"), encode_private_key(key))
    return path, fingerprint(ssl.PEM_cert_to_DER_cert(pem))


def fingerprint(der: bytes) -> str:
    """Return the SHA-256 of a certificate as `openssl x509 -fingerprint` writes it."""
    return hashlib.sha256(der).digest().hex(":").upper()


@contextlib.asynccontextmanager
async def serve_page(port: int, certificate: Path) -> AsyncGenerator[None]:
    """Serve the page on loopback while the context lasts; its key is beside its certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, certificate.with_suffix(".key"))
    server = await asyncio.start_server(_answer, HOST, port, ssl=context)
    try:
        yield
    finally:
        await abort_server(server)


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer one request: the page, or its head alone."""
    unusable = (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError)
    with contextlib.suppress(*unusable), contextlib.closing(writer):
        async with asyncio.timeout(REQUEST_S):
            request = await reader.readuntil(b"\r\n\r\n")
            writer.write(_HEAD if request.startswith(b"HEAD ") else _HEAD + _PAGE)
            await writer.drain()
