"""Send a request through each edge to an origin of its own: `helm test` runs this in the agent's image.

It makes an invite with the operator's key (KEY_FILE) at the hub (API), runs an agent with it, and revokes it. TLS goes from
here to here: the edges (EDGES, as host:port with commas) pass it on, and the certificate must be the origin's own.
"""

import datetime
import http.server
import itertools
import json
import os
import pathlib
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from typing import override

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from hub_api import ask, wait_for_hub

ANSWER = b"through the tunnel\n"
# PROXY protocol, version 2, command LOCAL: who connects speaks for itself.
PROXY_HEADER = bytes.fromhex("0d0a0d0a000d0a515549540a20000000")
PATIENCE_S = 75
NAME = f"helm-test-{os.urandom(4).hex()}"
HOSTNAME = f"{NAME}.invalid"
FOLDER = pathlib.Path(tempfile.mkdtemp())


def write_certificate() -> pathlib.Path:
    """Write a key and a certificate of the hostname, which no authority signed."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.datetime.now(datetime.UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, HOSTNAME)])
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(HOSTNAME)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    form = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    path = FOLDER / "origin.pem"
    pem = key.private_bytes(serialization.Encoding.PEM, *form)
    path.write_bytes(pem + certificate.public_bytes(serialization.Encoding.PEM))
    return path


class Origin(http.server.BaseHTTPRequestHandler):
    """Origin with one page."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(ANSWER)

    @override
    def log_message(self, *_: object) -> None:
        """Leave the log to what is checked."""


def serve_origin(certificate: pathlib.Path) -> int:
    """Serve the origin in a thread; return its port."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Origin)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server.server_port


def start_agent(token: str, port: int) -> subprocess.Popen[bytes]:
    """Start an agent that publishes the origin."""
    service = {"hostname": HOSTNAME, "origin": f"127.0.0.1:{port}", "proxy_protocol": "none"}
    own = {
        "TOWONEL_INVITE_TOKEN": token,
        "TOWONEL_AGENT_SERVICES": json.dumps([service]),
        "TOWONEL_ALLOW_INSECURE_HUB": os.environ["INSECURE"],
    }
    return subprocess.Popen(["/opt/towonel/bin/towonel-agent"], env=dict(os.environ) | own)


def fetch(edge: str, certificate: pathlib.Path, header: bytes) -> bytes:
    """Return what a client of this edge gets for the hostname, which sends a header first."""
    host, _, port = edge.rpartition(":")
    context = ssl.create_default_context(cafile=str(certificate))
    with (
        socket.create_connection((host, int(port)), timeout=5) as plain,
        start_tls(context, plain, header) as client,
    ):
        client.sendall(f"GET / HTTP/1.0\r\nHost: {HOSTNAME}\r\n\r\n".encode())
        return b"".join(iter(lambda: client.recv(4096), b""))


def start_tls(context: ssl.SSLContext, plain: socket.socket, header: bytes) -> ssl.SSLSocket:
    """Send the header, and return the connection once TLS has begun on it."""
    plain.sendall(header)
    return context.wrap_socket(plain, server_hostname=HOSTNAME)


def wait_for_answer(
    edge: str, certificate: pathlib.Path, agent: subprocess.Popen[bytes]
) -> str | None:
    """Return nothing once a request through the edge succeeds, or why none did in time."""
    end, why = time.monotonic() + PATIENCE_S, "it was not asked"
    # Where the edge trusts networks to speak PROXY protocol, this pod may be in one of them.
    headers = itertools.cycle([b"", PROXY_HEADER] if os.environ["PROXY"] == "true" else [b""])
    while time.monotonic() < end and agent.poll() is None:
        try:
            answer = fetch(edge, certificate, next(headers))
        except OSError as error:
            why = repr(error)
        else:
            return None if answer.endswith(ANSWER) else f"it answers {answer!r}"
        time.sleep(0.5)
    return why if agent.poll() is None else f"the agent ended with {agent.returncode}"


def main() -> int:
    """Check every edge; return the exit code."""
    wait_for_hub()
    made = ask(
        "POST", "/v1/invites", {"name": NAME, "hostnames": [HOSTNAME], "expires_in_secs": 600}
    )
    certificate = write_certificate()
    agent = start_agent(str(made["token"]), serve_origin(certificate))
    failed = False
    try:
        for edge in os.environ["EDGES"].split(","):
            why = wait_for_answer(edge, certificate, agent)
            print(f"{edge}: {why or 'a request went through the tunnel'}", flush=True)
            failed = failed or why is not None
    finally:
        agent.terminate()
        agent.wait(30)
        ask("DELETE", f"/v1/invites/{made['invite_id']}")
    return int(failed)


sys.exit(main())
