"""TLS lanes at the edge: whom it takes them from, and how they end."""

import contextlib
import socket
import ssl
from collections.abc import Iterator

import pytest
from support.lane_peers import LanePeer, greet_on, receive
from support.relay import SESSION, ClientUse, Relay, tcp_pair
from support.tls_lanes import Tamperer, client_context, connect_tls, dial_tls_lane, hello_of_a_lane

from towonel.relay.agent_lanes import LaneKind
from towonel.wire import lane_admission, lanes
from towonel.wire.errors import Code
from towonel.wire.lane_admission import ANSWER_BYTES
from towonel.wire.lanes import FrameType

type Address = tuple[str, int]


@pytest.fixture
def edge() -> Iterator[Relay]:
    """An edge without lanes; agents are spoken for by the test."""
    relay = Relay(lanes=0, tls=True)
    yield relay
    relay.close()


def address(relay: Relay) -> Address:
    return relay.edge.acceptor.address


@pytest.fixture
def peer(edge: Relay) -> Iterator[LanePeer]:
    peer = dial_tls_lane(address(edge))
    edge.wait(lambda: len(edge.edge.session.idle) == 1)
    with peer.sock:
        yield peer


def open_use(relay: Relay) -> tuple[ClientUse, socket.socket]:
    client, at_edge = tcp_pair()
    use = ClientUse(relay.edge, at_edge)
    session = relay.edge.session
    assert relay.calls.call(lambda: session.open(b"\x00hello", use, repeatable=False))
    return use, client


# The edge's side.


def test_another_tls_library_is_admitted_and_carries_a_client(edge: Relay, peer: LanePeer) -> None:
    assert isinstance(peer.sock, ssl.SSLSocket)
    _, client = open_use(edge)
    with client:
        kind, use, _ = peer.read_frame()
        assert (kind, use) == (FrameType.OPEN, 1)
        peer.sock.sendall(lanes.encode_head(FrameType.ACCEPT, 1, 6) + b"answer")
        assert receive(client, 6) == b"answer"

    assert edge.edge.lanes.admitted == {LaneKind.PLAIN: 0, LaneKind.TLS: 1}
    assert edge.edge.lane.kind is LaneKind.TLS


def test_it_is_tls_1_3_with_the_edges_certificate_and_no_resumption(edge: Relay) -> None:
    old = client_context()
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises(OSError, match=r"(?i)version|reset"):
        connect_tls(address(edge), old)

    context = client_context()
    for _ in range(2):
        with dial_over(edge, context) as sock:
            assert sock.version() == "TLSv1.3"
            assert not sock.session_reused
            assert sock.session is None or not sock.session.has_ticket


@contextlib.contextmanager
def dial_over(edge: Relay, context: ssl.SSLContext) -> Iterator[ssl.SSLSocket]:
    """A connection whose admission is answered: tickets would have come by then."""
    with connect_tls(address(edge), context) as sock:
        greet_on(sock)
        receive(sock, ANSWER_BYTES)
        yield sock


def test_a_session_that_is_not_known_is_told_so_inside_tls(edge: Relay) -> None:
    with connect_tls(address(edge)) as sock:
        greet_on(sock, b"x" * 16)
        assert lane_admission.decode_answer(receive(sock, ANSWER_BYTES)) is Code.WRONG_EDGE
    edge.wait(lambda: edge.edge.lanes.refused == {Code.WRONG_EDGE: 1})


@pytest.mark.parametrize("first", [b"\x16\x03\x01\x02\x00" + bytes(600), b"\xf7TWLANE\x01"])
def test_what_is_no_tls_is_refused_at_once(edge: Relay, first: bytes) -> None:
    with socket.create_connection(address(edge), timeout=20) as sock:
        sock.sendall(first)
        assert LanePeer(sock, seal=None).is_closed()  # type: ignore[arg-type]
    edge.wait(lambda: edge.edge.lanes.refused == {Code.CLIENT_CLOSED: 1})
    assert not edge.edge.lanes.half_open


def test_a_handshake_has_the_time_of_an_admission(edge: Relay) -> None:
    hello = hello_of_a_lane()
    with socket.create_connection(address(edge), timeout=20) as sock:
        sock.sendall(hello)
        edge.wait(lambda: len(edge.edge.lanes.half_open) == 1)
        edge.pass_time(4.5)
        assert len(edge.edge.lanes.half_open) == 1
        edge.pass_time(1.0)
        edge.wait(lambda: edge.edge.lanes.refused == {Code.HELLO_TIMEOUT: 1})
    assert not edge.edge.lanes.half_open


def test_half_open_tls_lanes_share_the_places_of_the_others() -> None:
    relay = Relay(lanes=0, tls=True, max_half_open=2, admission_s=60)
    with contextlib.ExitStack() as sockets:
        for _ in range(2):
            sockets.enter_context(socket.create_connection(address(relay), timeout=20))
        relay.wait(lambda: len(relay.edge.lanes.half_open) == 2)
        with contextlib.suppress(ConnectionResetError):  # refused before this end knows it is open
            socket.create_connection(address(relay), timeout=20).close()
        relay.wait(lambda: relay.edge.lanes.refused == {Code.OVERLOADED: 1})
    relay.close()


@pytest.mark.parametrize("how", ["cut", "end of TLS"])
def test_a_lane_that_ends_in_a_use_resets_its_client_however_it_ends(
    edge: Relay, peer: LanePeer, how: str
) -> None:
    _, client = open_use(edge)
    with client:
        peer.read_frame()
        peer.sock.sendall(lanes.encode_head(FrameType.ACCEPT, 1, 6) + b"answer")
        assert receive(client, 6) == b"answer"
        if how == "cut":
            peer.sock.shutdown(socket.SHUT_WR)
        else:
            assert isinstance(peer.sock, ssl.SSLSocket)
            peer.sock.setblocking(False)
            with contextlib.suppress(OSError):  # it waits for an end that does not come
                peer.sock.unwrap()

        with pytest.raises(ConnectionResetError):
            client.recv(1)
    edge.wait(lambda: edge.edge.lanes.lost == {Code.SESSION_LOST: 1})


def test_a_tampered_record_ends_the_lane_and_resets_its_client(edge: Relay) -> None:
    with Tamperer(address(edge)) as wire:
        peer = dial_tls_lane(wire.address)
        edge.wait(lambda: len(edge.edge.session.idle) == 1)
        _, client = open_use(edge)
        with client, peer.sock:
            peer.read_frame()
            peer.sock.sendall(lanes.encode_head(FrameType.ACCEPT, 1, 6) + b"answer")
            assert receive(client, 6) == b"answer"
            wire.tamper()
            peer.sock.sendall(lanes.encode_head(FrameType.DATA, 1, 6) + b"forged")

            with pytest.raises(ConnectionResetError):
                client.recv(1)


def test_an_idle_lane_is_closed_by_an_end_of_tls(edge: Relay, peer: LanePeer) -> None:
    edge.calls.call(lambda: edge.edge.lanes.go_away(SESSION))

    assert peer.sock.recv(1) == b""  # and no error, as after a cut
