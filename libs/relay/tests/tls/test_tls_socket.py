"""TLS socket: it keeps a plain socket's promises, and what a peer can make it hold is bounded."""

import _ssl
import contextlib
import ctypes
import fcntl
import select
import socket
import ssl
import sys
import termios
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from support.relay import WAIT_S, tcp_pair
from support.tls_lanes import NAME, client_context, server_context

from towonel.relay.tls.tls_memory import TlsMemory
from towonel.relay.tls.tls_socket import MAX_UNSENT_BYTES, TlsSocket

LARGE = bytes(range(256)) * 1024
SMALL_BUFFER = 4096


@dataclass
class Pair:
    """A TLS socket of ours, and its peer of another library, which waits."""

    ours: TlsSocket
    peer: ssl.SSLSocket

    def read(self, size: int) -> bytes:
        """Return so many bytes that ours gets, however often it has to be asked."""
        data = b""
        while len(data) < size:
            with contextlib.suppress(BlockingIOError):
                data += self.ours.recv(size - len(data))
        return data


def shake_hands(ours: TlsSocket, peer: ssl.SSLSocket) -> None:
    """Let both ends finish; the peer does not wait, either."""
    peer.setblocking(False)
    done = [False, False]
    while not all(done):
        with contextlib.suppress(BlockingIOError):
            ours.shake_hands()
            done[0] = True
        with contextlib.suppress(ssl.SSLWantReadError, ssl.SSLWantWriteError):
            peer.do_handshake()
            done[1] = True
    peer.settimeout(WAIT_S)


@pytest.fixture(params=["server", "client"])
def pair(request: pytest.FixtureRequest) -> Iterator[Pair]:
    one, other = socket.socketpair()
    one.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SMALL_BUFFER)
    pair = make_pair(one, other, is_server=request.param == "server")
    with pair.ours, pair.peer:
        yield pair


def make_pair(one: socket.socket, other: socket.socket, *, is_server: bool = True) -> Pair:
    contexts = server_context(), client_context()
    ours = TlsSocket(
        one, contexts[not is_server], TlsMemory(), server_name=None if is_server else NAME
    )
    peer = contexts[is_server].wrap_socket(
        other,
        server_side=not is_server,
        server_hostname=NAME if is_server else None,
        do_handshake_on_connect=False,
    )
    shake_hands(ours, peer)
    return Pair(ours, peer)


def test_what_is_sent_piece_by_piece_arrives_once_and_in_order(pair: Pair) -> None:
    """The buffer of the kernel is smaller than a record, so that every call leaves something."""
    left, got, blocked = memoryview(LARGE), b"", 0
    pair.peer.setblocking(False)
    while len(got) < len(LARGE):
        try:
            left = left[pair.ours.send(left) :]
        except BlockingIOError:
            blocked += 1
        with contextlib.suppress(ssl.SSLWantReadError):
            got += pair.peer.recv(1000)

    assert blocked > 10
    assert got == LARGE


def test_bytes_that_are_appended_to_what_was_not_taken_follow_it(pair: Pair) -> None:
    with pytest.raises(BlockingIOError):
        pair.ours.send(LARGE[:30_000])
    pair.peer.setblocking(False)
    left, got = LARGE[:30_100], b""
    while len(got) < 30_100:
        with contextlib.suppress(BlockingIOError):
            left = left[pair.ours.send(left) :]
        with contextlib.suppress(ssl.SSLWantReadError):
            got += pair.peer.recv(1000)

    assert got == LARGE[:30_100]


@pytest.mark.parametrize("room", [7, 1000, 16_384, 65_536])
def test_less_than_there_is_room_for_is_all_that_there_is(pair: Pair, room: int) -> None:
    pair.peer.sendall(LARGE[:40_001])
    got, buffer = 0, bytearray(room)
    while (count := pair.ours.recv_into(buffer)) == room:
        assert buffer == LARGE[got : got + room]
        got += count

    assert got + count == 40_001


def test_what_comes_between_two_reads_is_part_of_all_that_there_is(pair: Pair) -> None:
    pair.peer.sendall(LARGE[:1500])
    assert len(pair.ours.recv(1000)) == 1000
    pair.peer.sendall(LARGE[1500:2500])

    assert pair.ours.recv(2000) == LARGE[1000:2500]
    with pytest.raises(BlockingIOError):
        pair.ours.recv(1)


def test_an_end_of_tls_is_an_end_and_a_cut_is_a_failure(pair: Pair) -> None:
    pair.peer.sendall(b"last")
    pair.peer.settimeout(0)
    with contextlib.suppress(ssl.SSLError):
        pair.peer.unwrap()
    assert pair.read(4) == b"last"
    assert pair.ours.recv(1) == b""


def test_a_cut_after_bytes_is_a_failure_after_them(pair: Pair) -> None:
    pair.peer.sendall(b"last")
    socket.socket.shutdown(pair.peer, socket.SHUT_WR)

    assert pair.ours.recv(100) == b"last"
    with pytest.raises(ConnectionResetError):
        pair.ours.recv(1)


def test_its_end_is_an_end_to_the_peer(pair: Pair) -> None:
    pair.ours.end()

    assert pair.peer.recv(1) == b""


def raw_pair() -> tuple[TlsSocket, socket.socket]:
    one, other = socket.socketpair()
    other.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 200_000)
    return TlsSocket(one, server_context(), TlsMemory()), other


def test_a_hello_without_end_is_not_kept() -> None:
    """131 300 bytes are the most that the library would take for a message of the handshake."""
    ours, other = raw_pair()
    message = b"\1" + (131_300).to_bytes(3) + bytes(131_300)
    with ours, other:
        for at in range(0, len(message), 16_384):
            piece = message[at : at + 16_384]
            other.sendall(b"\x16\3\1" + len(piece).to_bytes(2) + piece)

        with pytest.raises(ConnectionAbortedError, match="records without bytes"):
            ours.recv(1)


def test_what_is_no_tls_is_a_failure() -> None:
    ours, other = raw_pair()
    with ours, other:
        other.sendall(b"GET / HTTP/1.1\r\n\r\n")
        with pytest.raises(ssl.SSLError):
            ours.recv(1)


def update_keys(sock: ssl.SSLSocket) -> None:
    """Ask for new keys, which the `ssl` module has no call for: the peer has to answer."""
    library = ctypes.CDLL(_ssl.__file__)
    if not hasattr(library, "SSL_key_update"):
        pytest.skip("this Python has its TLS library built in, and hides it")
    inner = sock._sslobj  # type: ignore[attr-defined]
    handle = ctypes.c_void_p.from_address(id(inner) + 3 * ctypes.sizeof(ctypes.c_void_p))
    assert library.SSL_key_update(handle, 1) == 1


def test_updates_of_keys_are_answered_and_their_bytes_arrive(pair: Pair) -> None:
    for number in range(100):
        update_keys(pair.peer)
        pair.peer.sendall(bytes([number]))
        assert pair.read(1) == bytes([number])
        pair.ours.send(b"!")
        assert pair.peer.recv(1) == b"!"


def ask_without_reading(pair: Pair) -> None:
    for _ in range(MAX_UNSENT_BYTES):
        update_keys(pair.peer)
        pair.peer.sendall(b"!")
        pair.read(1)


def test_answers_that_a_peer_does_not_read_end_the_connection(pair: Pair) -> None:
    with pytest.raises(ConnectionAbortedError, match="does not read its answers"):
        ask_without_reading(pair)

    assert len(pair.ours._unsent) < MAX_UNSENT_BYTES + 100


def test_what_comes_after_a_call_that_was_full_is_found_by_the_next(pair: Pair) -> None:
    """The loop may have told of it before that call, and does so once."""
    pair.peer.sendall(LARGE[:3000])
    first = pair.ours.recv(1000)
    pair.peer.sendall(LARGE[3000:6000])

    assert first + pair.ours.recv(40_000) == LARGE[:6000]


def wait_received(sock: socket.socket, size: int) -> None:
    """Wait until the kernel has so many bytes of a socket."""
    while int.from_bytes(fcntl.ioctl(sock, termios.FIONREAD, bytes(4)), sys.byteorder) < size:
        select.select([], [], [], 0.001)


def test_a_byte_in_each_of_many_records_is_no_failure_and_takes_several_calls() -> None:
    """Records of a byte are 23 bytes long: these are more than are read in a call."""
    one, other = tcp_pair()
    one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024 * 1024)
    pair = make_pair(one, other)
    with pair.ours, pair.peer:
        count = sum(pair.peer.send(b"x") for _ in range(8_000))
        wait_received(pair.ours, 23 * count)
        calls, got = 1, len(pair.ours.recv(32_768))
        while pair.ours.has_more:
            calls, got = calls + 1, got + len(pair.ours.recv(32_768))

    assert calls > 1
    assert got == count


def test_an_end_that_comes_with_the_last_bytes_is_read_after_them(pair: Pair) -> None:
    pair.peer.sendall(b"last")
    pair.peer.settimeout(0)
    with contextlib.suppress(ssl.SSLError):
        pair.peer.unwrap()
    got = pair.ours.recv(9)
    has_more = pair.ours.has_more

    assert (got, has_more) == (b"last", True)
    assert [pair.ours.recv(9), pair.ours.recv(9)] == [b"", b""]
    assert not pair.ours.has_more


def test_a_peer_may_go_on_after_our_end_until_its_own(pair: Pair) -> None:
    pair.ours.shutdown(socket.SHUT_WR)
    assert pair.peer.recv(9) == b""
    pair.peer.sendall(b"late")
    pair.peer.settimeout(0)
    with contextlib.suppress(ssl.SSLError):
        pair.peer.unwrap()

    assert pair.read(4) == b"late"
    assert pair.ours.recv(9) == b""


def test_a_socket_that_is_released_is_plain_and_has_said_that_tls_is_over(pair: Pair) -> None:
    plain = pair.ours.release()
    with contextlib.closing(plain):
        assert type(plain) is not TlsSocket
        assert pair.peer.recv(9) == b""


def test_bytes_in_front_of_tls_go_before_its_first_flight() -> None:
    one, other = socket.socketpair()
    with TlsSocket(one, client_context(), TlsMemory(), server_name=NAME, before=b"PROXY") as ours:
        with contextlib.suppress(BlockingIOError):
            ours.shake_hands()
        first = other.recv(5)
        tls = server_context().wrap_socket(other, server_side=True, do_handshake_on_connect=False)
        with tls as peer:
            shake_hands(ours, peer)
            ours.send(b"hello")

            assert (first, peer.recv(100)) == (b"PROXY", b"hello")
