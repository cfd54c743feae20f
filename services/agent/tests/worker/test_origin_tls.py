"""Origins that TLS is spoken to: clients of lanes inside TLS reach them, once they have proved who they are."""

import contextlib
import hashlib
import socket
import ssl
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from support.agent_worker import AgentWorker, LaneClient, facts
from support.origins import CHUNK, Certificates
from support.relay import WAIT_S
from support.tunnel import PREAMBLE

from towonel.agent.worker.messages import Counters, OriginFacts, Refused
from towonel.relay.core.lane_kinds import LaneKind
from towonel.wire import proxy
from towonel.wire.errors import Code
from towonel.wire.lanes import FrameType
from towonel.wire.preamble import HTTP_1, HTTP_2

NAME = "app.internal"


@pytest.fixture
def certificates(tmp_path: Path) -> Certificates:
    return Certificates(tmp_path)


class TlsOrigin:
    """Origin whose handshakes are made by a thread, as foreign libraries make them."""

    def __init__(self, context: ssl.SSLContext, *protocols: str) -> None:
        if protocols:
            context.set_alpn_protocols(protocols)
        self._server = socket.create_server(("127.0.0.1", 0))
        self._server.settimeout(WAIT_S)
        self._context = context
        self.address: tuple[str, int] = self._server.getsockname()

    def close(self) -> None:
        self._server.close()

    def accept_plain(self) -> socket.socket:
        taken = self._server.accept()[0]
        taken.settimeout(WAIT_S)
        return taken

    def accept(self) -> ssl.SSLSocket:
        return self._context.wrap_socket(self.accept_plain(), server_side=True)


@pytest.fixture
def origin(certificates: Certificates) -> Generator[TlsOrigin]:
    with contextlib.closing(TlsOrigin(certificates.server(NAME))) as origin:
        yield origin


def first_bytes(client: LaneClient) -> bytes:
    """What comes with ACCEPT, or after it where the origin has let it wait."""
    kind, data = client.answer()
    assert kind is FrameType.ACCEPT
    return data or client.answer()[1]


def wait_closed(sock: socket.socket) -> None:
    with contextlib.suppress(ConnectionResetError):
        while sock.recv(4096):
            pass


@contextlib.contextmanager
def worker(origin: OriginFacts, **options: object) -> Generator[AgentWorker]:
    with contextlib.closing(AgentWorker(origin, kind=LaneKind.TLS, **options)) as running:  # type: ignore[arg-type]
        yield running


def described(
    origin: TlsOrigin, certificates: Certificates, name: str = NAME, *, proxied: bool = False
) -> OriginFacts:
    return facts(
        "a.eu", origin.address, proxied=proxied, tls=(name, str(certificates.ca_file), True)
    )


def test_a_client_reaches_an_origin_that_proves_its_name(
    origin: TlsOrigin, certificates: Certificates
) -> None:
    with worker(described(origin, certificates)) as agent:
        client = agent.open("a.eu", b"hello ")
        with origin.accept() as taken:
            assert taken.recv(100) == b"hello "
            taken.sendall(b"welcome")
            assert first_bytes(client) == b"welcome"
            client.send(b"world")
            assert taken.recv(100) == b"world"
            client.end()
            assert taken.recv(100) == b""
            taken.unwrap()
        assert client.read_all() == b""
        counted = agent.hear(Counters, lambda counters: counters.completed)

    assert counted.accepted == (("tls_lane", 1),)
    assert (counted.to_origin, counted.to_edge, counted.errors) == (11, 7, ())


def test_an_origin_that_speaks_first_is_heard(
    origin: TlsOrigin, certificates: Certificates
) -> None:
    with worker(described(origin, certificates)) as agent:
        client = agent.open("a.eu", b"")
        with origin.accept() as taken:
            taken.sendall(b"220 welcome")

            assert first_bytes(client) == b"220 welcome"


def test_much_passes_both_ways_whole(origin: TlsOrigin, certificates: Certificates) -> None:
    payload = CHUNK * 64
    with worker(described(origin, certificates)) as agent, ThreadPoolExecutor(2) as threads:
        client = agent.open("a.eu", b"")
        with origin.accept() as taken:
            sending = threads.submit(taken.sendall, payload)
            received = b""
            while len(received) < len(payload):
                received += client.answer()[1]
            sending.result(WAIT_S)
            back = threads.submit(_read, taken, len(payload))
            for start in range(0, len(payload), len(CHUNK)):
                client.send(payload[start : start + len(CHUNK)])

            assert hashlib.sha256(received).digest() == hashlib.sha256(payload).digest()
            assert back.result(WAIT_S) == hashlib.sha256(payload).digest()


def _read(sock: socket.socket, size: int) -> bytes:
    found = hashlib.sha256()
    while size:
        data = sock.recv(65_536)
        assert data
        found.update(data)
        size -= len(data)
    return found.digest()


def test_a_proxy_header_goes_before_the_handshake(
    origin: TlsOrigin, certificates: Certificates
) -> None:
    with worker(described(origin, certificates, proxied=True)) as agent:
        agent.open("a.eu", b"hello")
        plain = origin.accept_plain()
        size = proxy.count_needed(plain.recv(16, socket.MSG_PEEK | socket.MSG_WAITALL))
        found = proxy.read(plain.recv(size, socket.MSG_WAITALL))
        with origin._context.wrap_socket(plain, server_side=True) as taken:
            assert taken.recv(100) == b"hello"

    assert found is not None
    assert found[0] is not None
    assert found[0].source == PREAMBLE.source


@pytest.mark.parametrize(
    ("name", "reason"),
    [("other.internal", "not for other.internal: set origin_server_name"), (NAME, "put its own")],
)
def test_a_certificate_that_is_not_accepted_refuses_the_client_with_its_reason(
    certificates: Certificates, tmp_path: Path, name: str, reason: str
) -> None:
    folder = tmp_path / "others"
    folder.mkdir()
    issuer = Certificates(folder) if name == NAME else certificates
    with (
        contextlib.closing(TlsOrigin(issuer.server(NAME))) as origin,
        worker(described(origin, certificates, name)) as agent,
    ):
        client = agent.open("a.eu")
        with pytest.raises(OSError, match=r"(?i)alert|reset|closed"):
            origin.accept()

        assert client.refusal() is Code.ORIGIN_TLS_FAILED
        refused = agent.hear(Refused)
    assert refused.code == Code.ORIGIN_TLS_FAILED
    assert reason in refused.detail


def test_an_origin_that_is_not_verified_may_be_anybody(origin: TlsOrigin) -> None:
    with worker(facts("a.eu", origin.address, tls=("any.internal", None, False))) as agent:
        agent.open("a.eu", b"hello")
        with origin.accept() as taken:
            assert taken.recv(100) == b"hello"


def test_a_missing_file_of_authorities_refuses_the_client(origin: TlsOrigin) -> None:
    with worker(facts("a.eu", origin.address, tls=(NAME, "/nowhere.pem", True))) as agent:
        assert agent.open("a.eu").refusal() is Code.ORIGIN_TLS_FAILED
        assert "origin_ca /nowhere.pem cannot be used" in agent.hear(Refused).detail


@pytest.mark.parametrize("answer", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b""])
def test_an_origin_that_speaks_no_tls_is_reported(
    origin: TlsOrigin, certificates: Certificates, answer: bytes
) -> None:
    with worker(described(origin, certificates)) as agent:
        client = agent.open("a.eu")
        with origin.accept_plain() as taken:
            taken.recv(4096)
            taken.sendall(answer)

        assert client.refusal() is Code.ORIGIN_TLS_FAILED
        assert "does it speak TLS" in agent.hear(Refused).detail


def test_a_handshake_that_does_not_end_has_the_time_of_the_dial(
    origin: TlsOrigin, certificates: Certificates
) -> None:
    with worker(described(origin, certificates), timeout_s=0.2) as agent:
        client = agent.open("a.eu")
        with origin.accept_plain() as taken:
            assert client.refusal() is Code.ORIGIN_TIMEOUT
            wait_closed(taken)


def test_a_client_that_leaves_meanwhile_ends_the_handshake(
    origin: TlsOrigin, certificates: Certificates
) -> None:
    with worker(described(origin, certificates)) as agent:
        client = agent.open("a.eu")
        with origin.accept_plain() as taken:
            assert taken.recv(1)
            client.reset(Code.CLIENT_CLOSED)
            counted = agent.hear(Counters, lambda counters: counters.errors)
            wait_closed(taken)

    assert (counted.active, dict(counted.errors)) == (0, {Code.CLIENT_CLOSED: 1})


@pytest.mark.parametrize("protocol", [HTTP_1, HTTP_2, None])
def test_the_origin_is_offered_what_the_client_speaks(
    certificates: Certificates, protocol: str | None
) -> None:
    server = certificates.server(NAME)
    with (
        contextlib.closing(TlsOrigin(server, HTTP_2, HTTP_1)) as origin,
        worker(described(origin, certificates)) as agent,
    ):
        agent.open("a.eu", b"hello", protocol=protocol)
        with origin.accept() as taken:
            assert taken.recv(100) == b"hello"
            assert taken.selected_alpn_protocol() == protocol


@pytest.mark.parametrize("protocols", [(), (HTTP_1,)])
def test_an_origin_that_does_not_speak_it_refuses_the_client(
    certificates: Certificates, protocols: tuple[str, ...]
) -> None:
    with (
        contextlib.closing(TlsOrigin(certificates.server(NAME), *protocols)) as origin,
        worker(described(origin, certificates)) as agent,
    ):
        client = agent.open("a.eu", protocol=HTTP_2)
        with origin.accept():
            assert client.refusal() is Code.ORIGIN_TLS_FAILED
        assert "does not speak what the client does" in agent.hear(Refused).detail


def test_what_came_outside_tls_is_not_wrapped(
    origin: TlsOrigin, certificates: Certificates
) -> None:
    with contextlib.closing(AgentWorker(described(origin, certificates))) as agent:
        assert agent.open("a.eu").refusal() is Code.NO_SERVICE
        assert agent.hear(Refused).detail == "its TLS has not ended at the edge"
