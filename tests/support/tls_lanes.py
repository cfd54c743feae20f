"""Lanes inside TLS, as a foreign TLS library speaks them: an agent's dial, and an edge's listener."""

import contextlib
import socket
import ssl
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Self

from support.edge_identity import CERTIFICATE, KEY
from support.lane_peers import LanePeer, accept_lane_on, dial_lane_on
from support.relay import WAIT_S

LANE_PROTOCOL = "towonel-lane/1"
NAME = "edge.example.eu"


def client_context(*protocols: str) -> ssl.SSLContext:
    """TLS of an agent that trusts whom it meets."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(list(protocols or (LANE_PROTOCOL,)))
    return context


def server_context(
    certificate: str = CERTIFICATE, key: bytes = KEY, protocol: str = LANE_PROTOCOL
) -> ssl.SSLContext:
    """TLS of an edge."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.NamedTemporaryFile() as file:
        Path(file.name).write_bytes(certificate.encode() + key)
        context.load_cert_chain(file.name)
    context.set_alpn_protocols([protocol])
    return context


def hello_of_a_lane() -> bytes:
    """The first flight of an agent's lane."""
    return hello_of(LANE_PROTOCOL)


def hello_of(protocol: str) -> bytes:
    """The first flight of an agent that speaks a protocol."""
    outgoing = ssl.MemoryBIO()
    tls = client_context(protocol).wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname=NAME)
    with contextlib.suppress(ssl.SSLWantReadError):
        tls.do_handshake()
    return outgoing.read()


def connect_tls(address: tuple[str, int], context: ssl.SSLContext | None = None) -> ssl.SSLSocket:
    """Connect as an agent, up to the end of the handshake."""
    sock = socket.create_connection(address, timeout=WAIT_S)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return (context or client_context()).wrap_socket(sock, server_hostname=NAME)


def dial_tls_lane(address: tuple[str, int]) -> LanePeer:
    """Be admitted by an edge as an agent whose lane is inside TLS."""
    return dial_lane_on(connect_tls(address))


def accept_tls_lane(server: socket.socket, context: ssl.SSLContext | None = None) -> LanePeer:
    """Admit the next TLS lane of an agent as an edge."""
    server.settimeout(WAIT_S)
    sock = server.accept()[0]
    sock.settimeout(WAIT_S)
    return accept_lane_on((context or server_context()).wrap_socket(sock, server_side=True))


def take_bytes(server: socket.socket, context: ssl.SSLContext) -> bytes:
    """Accept a TLS connection, and return all bytes that come inside it, or before it fails."""
    server.settimeout(WAIT_S)
    sock = server.accept()[0]
    sock.settimeout(WAIT_S)
    data = b""
    with contextlib.suppress(OSError), context.wrap_socket(sock, server_side=True) as tls:
        while more := tls.recv(4096):
            data += more
    return data


class Tamperer:
    """Observer on the way from an agent to an edge, who changes a byte once told to."""

    def __init__(self, edge: tuple[str, int]) -> None:
        self._edge = edge
        self._server = socket.create_server(("127.0.0.1", 0))
        self.address: tuple[str, int] = self._server.getsockname()
        self._tampers = threading.Event()
        self._threads = ThreadPoolExecutor(3)

    def __enter__(self) -> Self:
        self._threads.submit(self._relay)
        return self

    def __exit__(self, *_: object) -> None:
        self._server.close()
        self._threads.shutdown()

    def tamper(self) -> None:
        """Change a byte of what comes next from the agent."""
        self._tampers.set()

    def _relay(self) -> None:
        agent = self._server.accept()[0]
        edge = socket.create_connection(self._edge, timeout=WAIT_S)
        self._threads.submit(self._pump, edge, agent)
        self._pump(agent, edge)

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65_536):
                if self._tampers.is_set():
                    data = data[:-1] + bytes([data[-1] ^ 1])
                sink.sendall(data)
        sink.close()
