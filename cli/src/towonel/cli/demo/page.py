"""Page of the demo: an HTTPS server with a certificate of its own, and a client that verifies it."""

import asyncio
import contextlib
import hashlib
import secrets
import ssl
from collections.abc import AsyncGenerator
from pathlib import Path

import httpx

from towonel.cli.output import now
from towonel.identity.certs import create_certificate, encode_private_key
from towonel.identity.keys import SEED_BYTES, NodeKey
from towonel.runtime import secretfile
from towonel.runtime.logs import describe_error
from towonel.runtime.sockets import abort_server

HOSTNAME, HOST = "app.demo.example", "127.0.0.1"
TITLE = "Hello from home"
REQUEST_S = 10.0
RETRY_S = 0.05
LEAST_S = 1.0  # for a try, however little is left: connections that are cancelled while they open stay open
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


def write_certificate(folder: Path) -> tuple[Path, str]:
    """Write a certificate for the demo's hostname, and its key; return its path and fingerprint."""
    key = NodeKey.from_seed(secrets.token_bytes(SEED_BYTES))
    pem, path = create_certificate(key, now(), HOSTNAME), folder / "origin.pem"
    secretfile.replace(path, pem.encode())
    secretfile.replace(path.with_suffix(".key"), encode_private_key(key))
    return path, fingerprint(ssl.PEM_cert_to_DER_cert(pem))


def fingerprint(der: bytes) -> str:
    """Return the SHA-256 of a certificate as `openssl x509 -fingerprint` writes it."""
    return hashlib.sha256(der).digest().hex(":").upper()


@contextlib.asynccontextmanager
async def serve_page(port: int, certificate: Path) -> AsyncGenerator[None]:
    """Serve the page on loopback while the context lasts."""
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


async def fetch(url: str, patience_s: float, certificate: Path | None = None) -> httpx.Response:
    """Ask a server of loopback for the demo's hostname until it answers with success.

    Raises:
        TimeoutError: after `patience_s` seconds, with what went wrong last.
    """
    trusted = ssl.create_default_context(cafile=certificate)
    clock = asyncio.get_running_loop().time
    end, last = clock() + patience_s, "no answer"
    async with httpx.AsyncClient(verify=trusted, trust_env=False) as http:
        while True:
            try:
                async with asyncio.timeout_at(max(end, clock() + LEAST_S)):
                    return await _fetch_once(http, url)
            except TimeoutError:
                pass
            except httpx.HTTPError as error:
                last = describe_error(error)
            if clock() + RETRY_S >= end:
                raise TimeoutError(last)
            await asyncio.sleep(RETRY_S)


async def _fetch_once(http: httpx.AsyncClient, url: str) -> httpx.Response:
    name = {"sni_hostname": HOSTNAME}
    response = await http.get(url, headers={"host": HOSTNAME}, extensions=name)
    if not response.is_success:
        raise httpx.HTTPError(f"the answer was {response.status_code} {response.reason_phrase}")
    return response
