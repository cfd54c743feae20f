"""Sockets of flows: a port that is shared with QUIC, and answers from the address that was asked."""

import contextlib
import socket
from collections.abc import Iterator

import pytest

from towonel.relay.flows.sockets import (
    DatagramSocket,
    Endpoint,
    bind_beside_quic,
    bind_datagrams,
    forbid_fragmentation,
    local_host,
)

ANY_V4 = "0.0.0.0"  # noqa: S104 on a machine for tests
FIRST_BYTES = (0x00, 0x01, 0x3F, 0x40, 0x80, 0xFF)


def client_of(host: str, port: int, own: str = "") -> socket.socket:
    """Return a client that is connected to an address: it hears of no other."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_DGRAM)
    sock.settimeout(5.0)
    if own:
        sock.bind((own, 0))
    sock.connect((host, port))
    return sock


@pytest.fixture
def opened() -> Iterator[contextlib.ExitStack]:
    with contextlib.ExitStack() as stack:
        yield stack


def receive_all(sock: socket.socket) -> list[bytes]:
    """Return what has come."""
    found: list[bytes] = []
    with contextlib.suppress(BlockingIOError):
        while True:
            found.append(sock.recv(2048))
    return found


def receive_run(sock: DatagramSocket) -> tuple[list[bytes], Endpoint]:
    """Return what has come, of which there is something."""
    found = sock.receive()
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("host", "to"), [("127.0.0.1", "127.0.0.1"), ("::", "127.0.0.1"), ("::", "::1")]
)
def test_packets_of_a_shared_port_are_parted_by_their_first_byte(
    opened: contextlib.ExitStack, host: str, to: str
) -> None:
    quic = opened.enter_context(bind_datagrams(host, 0, is_shared=True))
    port = quic.getsockname()[1]
    sealed = opened.enter_context(bind_beside_quic(host, port))
    for _ in range(8):  # from other ports, which a hash would spread
        client = opened.enter_context(client_of(to, port))
        for first in FIRST_BYTES:
            client.send(bytes((first, 9)))

    assert receive_all(sealed) == [bytes((first, 9)) for first in (0x00, 0x01, 0x3F)] * 8
    assert receive_all(quic) == [bytes((first, 9)) for first in (0x40, 0x80, 0xFF)] * 8


def test_a_datagram_without_bytes_goes_to_one_of_them_and_harms_none(
    opened: contextlib.ExitStack,
) -> None:
    quic = opened.enter_context(bind_datagrams("127.0.0.1", 0, is_shared=True))
    port = quic.getsockname()[1]
    sealed = opened.enter_context(bind_beside_quic("127.0.0.1", port))
    client = opened.enter_context(client_of("127.0.0.1", port))
    client.send(b"")
    client.send(b"\x01")
    client.send(b"\x40")

    assert [*receive_all(sealed), *receive_all(quic)].count(b"\x01") == 1
    assert len(receive_all(sealed)) == 0


def test_a_port_that_is_not_shared_is_refused_and_no_socket_stays() -> None:
    with (
        bind_datagrams("127.0.0.1", 0) as other,
        pytest.raises(OSError, match="in use"),
    ):
        bind_beside_quic("127.0.0.1", other.getsockname()[1])


@pytest.mark.parametrize(
    ("host", "to"),
    [
        (ANY_V4, "127.0.0.2"),
        (ANY_V4, "127.0.0.1"),
        ("::", "127.0.0.2"),
        ("::", "::1"),
        ("127.0.0.2", "127.0.0.2"),
        ("::1", "::1"),
    ],
)
def test_an_answer_leaves_from_the_address_that_was_asked(
    opened: contextlib.ExitStack, host: str, to: str
) -> None:
    sock = DatagramSocket(bind_datagrams(host, 0))
    opened.callback(sock.close)
    with socket.socket(fileno=socket.dup(sock.fileno())) as other:
        port = other.getsockname()[1]
    client = opened.enter_context(client_of(to, port))
    client.send(b"question")
    [data], endpoint = receive_run(sock)
    sock.send(b"answer", endpoint)

    assert data == b"question"
    assert client.recv(100) == b"answer", "a connected socket takes it from where it has asked"
    if endpoint.local:
        assert local_host(endpoint.local).removeprefix("::ffff:") == to
    else:
        assert sock.host == to


def test_a_socket_of_one_address_asks_for_no_control_message(opened: contextlib.ExitStack) -> None:
    sock = DatagramSocket(bind_datagrams("127.0.0.1", 0))
    opened.callback(sock.close)
    with socket.socket(fileno=socket.dup(sock.fileno())) as other:
        client = opened.enter_context(client_of("127.0.0.1", other.getsockname()[1]))
    client.send(b"x")
    _, endpoint = receive_run(sock)

    assert endpoint == (client.getsockname(), b"")
    assert sock.is_v6 is False


@pytest.mark.parametrize("host", ["127.0.0.1", ANY_V4])
def test_datagrams_come_in_their_order_until_there_is_none(
    opened: contextlib.ExitStack, host: str
) -> None:
    sock = DatagramSocket(bind_datagrams(host, 0))
    opened.callback(sock.close)
    with socket.socket(fileno=socket.dup(sock.fileno())) as other:
        client = opened.enter_context(client_of("127.0.0.1", other.getsockname()[1]))
    sent = [number.to_bytes(2) for number in range(3)]
    for data in sent:
        client.send(data)

    assert [receive_run(sock)[0] for _ in sent] == [[data] for data in sent]
    assert sock.receive() is None


def test_an_error_of_an_earlier_packet_does_not_keep_what_has_come_back(
    opened: contextlib.ExitStack,
) -> None:
    first = bind_datagrams("127.0.0.1", 0)
    port = first.getsockname()[1]
    first.close()
    raw = opened.enter_context(client_of("127.0.0.1", port))
    raw.setblocking(False)
    sock = DatagramSocket(raw)
    raw.send(b"refused")
    second = opened.enter_context(bind_datagrams("127.0.0.1", port))
    second.sendto(b"here", raw.getsockname())

    with pytest.raises(ConnectionRefusedError):
        sock.receive()
    assert receive_run(sock)[0] == [b"here"]


def test_a_packet_that_is_too_large_is_an_error_and_is_not_cut(
    opened: contextlib.ExitStack,
) -> None:
    for host in ("127.0.0.1", "::1", "::"):
        sock = opened.enter_context(bind_datagrams(host, 0))
        forbid_fragmentation(sock)
        to = ("127.0.0.1" if host == "127.0.0.1" else "::1", sock.getsockname()[1])
        with pytest.raises(OSError, match="too long"):
            sock.sendto(bytes(65_600), to)


def test_an_address_of_another_machine_is_refused_and_leaves_no_descriptor() -> None:
    with pytest.raises(OSError, match="assign"):
        bind_datagrams("192.0.2.1", 0)
