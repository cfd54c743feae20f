"""Page of the demo: an HTTPS server with a certificate of its own, and a client that verifies it."""

import asyncio
import contextlib
import hashlib
import re
import ssl
import threading
from collections.abc import Generator
from dataclasses import dataclass
from datetime import datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import override

import httpx
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

HOSTNAME, HOST = "app.demo.example", "127.0.0.1"
TITLE = "Hello from home"
REQUEST_S = 10.0
FETCH_S = 15.0  # for the route to reach the edge
RETRY_S = 0.1
_LIFETIME, _CLOCK_SLACK = timedelta(days=2), timedelta(hours=1)
_SHUTDOWN_POLL_S = 0.05
_PAGE = f"""<!doctype html>
<title>{TITLE}</title>
<h1>{TITLE}</h1>
<p>You reached a service that listens on loopback only, through a tunnel that it dialled itself.
<p>The TLS you see ends here: the machines in between carried it, and could not read it.
""".encode()


class FetchFailed(Exception):
    """The page could not be fetched; the text says what was there instead."""


@dataclass(frozen=True, slots=True)
class Page:
    """Answer as a client saw it: status line, heading, TLS version, certificate in DER."""

    status: str
    heading: str
    protocol: str
    certificate: bytes


async def fetch(port: int, certificate: Path, patience_s: float = FETCH_S) -> Page:
    """Fetch the page from a port of loopback, again until it answers; trust this certificate alone.

    Raises:
        FetchFailed: after `patience_s` seconds, with what went wrong last.
    """
    last = "no answer"
    context = ssl.create_default_context(cafile=str(certificate))
    async with httpx.AsyncClient(verify=context, trust_env=False, timeout=REQUEST_S) as http:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(patience_s):
                while True:
                    try:
                        return await _fetch_once(http, port)
                    except (httpx.TransportError, FetchFailed) as error:
                        last = str(error) or type(error).__name__
                    await asyncio.sleep(RETRY_S)
    raise FetchFailed(last)


def self_signed(now: datetime) -> tuple[bytes, bytes]:
    """Return certificate and private key for the demo's hostname, both PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, HOSTNAME)])
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - _CLOCK_SLACK)
        .not_valid_after(now + _LIFETIME)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(HOSTNAME)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(identifier, critical=False)
        .sign(key, SHA256())
    )
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return certificate.public_bytes(Encoding.PEM), private


def fingerprint(der: bytes) -> str:
    """Return the SHA-256 of a certificate as `openssl x509 -fingerprint` writes it."""
    return hashlib.sha256(der).digest().hex(":").upper()


@contextlib.contextmanager
def serve_page(port: int, certificate: Path, key: Path) -> Generator[None]:
    """Serve the page on loopback, in a thread, while the context lasts."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with ThreadingHTTPServer((HOST, port), _PageHandler) as server:
        # The handshake waits for the first read, in the client's own thread.
        server.socket = context.wrap_socket(
            server.socket, server_side=True, do_handshake_on_connect=False
        )
        threading.Thread(target=server.serve_forever, args=(_SHUTDOWN_POLL_S,), daemon=True).start()
        try:
            yield
        finally:
            server.shutdown()


class _PageHandler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 30

    def do_GET(self) -> None:
        self.do_HEAD()
        self.wfile.write(_PAGE)

    def do_HEAD(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(_PAGE)))
        self.end_headers()

    @override
    def version_string(self) -> str:
        return "home"

    @override
    def log_message(self, format: str, *args: object) -> None:
        """Print nothing: the terminal is the narration's."""


async def _fetch_once(http: httpx.AsyncClient, port: int) -> Page:
    request = http.build_request("GET", f"https://{HOST}:{port}/", headers={"host": HOSTNAME})
    request.extensions["sni_hostname"] = HOSTNAME
    response = await http.send(request, stream=True)
    try:
        tls: ssl.SSLObject = response.extensions["network_stream"].get_extra_info("ssl_object")
        body = (await response.aread()).decode(errors="replace")
    finally:
        await response.aclose()
    status = f"{response.http_version} {response.status_code} {response.reason_phrase}"
    heading = re.search(r"<h1>([^<]*)</h1>", body)
    if not response.is_success or heading is None:
        raise FetchFailed(f"the answer was {status!r}, not the page")
    certificate = tls.getpeercert(binary_form=True) or b""
    return Page(status, heading[1], tls.version() or "", certificate)
