"""Admission of lanes at the edge: who cannot prove the session gets none, and holds nothing."""

import contextlib
import socket
from collections.abc import Iterator

import pytest
from support.edge_identity import CERTIFICATE_HASH, EDGE_ID
from support.lane_peers import dial_lane, greet, receive
from support.relay import SECRET, SESSION, Relay

from towonel.identity.lanes import LaneIdentity, Role, prove
from towonel.wire import lane_admission
from towonel.wire.errors import Code
from towonel.wire.lane_admission import (
    ANSWER_BYTES,
    HELLO_BYTES,
    MAC_BYTES,
    MAGIC,
    LaneAnswer,
    LaneHello,
)


@pytest.fixture
def relay() -> Iterator[Relay]:
    relay = Relay(lanes=0)
    yield relay
    relay.close()


def address(relay: Relay) -> tuple[str, int]:
    return relay.edge.acceptor.address


def read_refusal(sock: socket.socket) -> Code:
    found = lane_admission.decode_answer(receive(sock, ANSWER_BYTES))
    assert isinstance(found, Code), "it was admitted"
    assert sock.recv(1) == b""
    return found


def read_identity(sock: socket.socket, nonce: bytes) -> LaneIdentity:
    answer = lane_admission.decode_answer(receive(sock, ANSWER_BYTES))
    assert isinstance(answer, LaneAnswer), answer
    return LaneIdentity(SESSION, nonce, answer.nonce, EDGE_ID, CERTIFICATE_HASH)


def is_ended(sock: socket.socket) -> bool:
    try:
        return not sock.recv(1)
    except ConnectionResetError:
        return True


def wait_refused(relay: Relay, code: Code, count: int = 1) -> None:
    relay.wait(lambda: relay.edge.lanes.refused == {code: count})
    assert relay.edge.lanes.half_open == set()
    assert not any(relay.edge.lanes.admitted.values())
    assert relay.edge.settled == [None] * count


def test_an_agent_that_proves_the_session_is_admitted(relay: Relay) -> None:
    peer = dial_lane(address(relay))
    relay.wait(lambda: len(relay.edge.session.idle) == 1)

    assert relay.edge.lanes.half_open == set()
    assert (sum(relay.edge.lanes.admitted.values()), relay.edge.settled) == (1, [None])
    peer.sock.close()
    relay.wait(lambda: relay.edge.lanes.lost == {Code.SESSION_LOST: 1})
    assert relay.edge.session.idle == []


def test_a_hello_cut_anywhere_is_understood(relay: Relay) -> None:
    with socket.create_connection(address(relay), timeout=20) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        hello = lane_admission.encode_hello(LaneHello(SESSION, b"n" * 16))
        for cut in (hello[:1], hello[1:30], hello[30:]):
            sock.sendall(cut)
            relay.calls.call(lambda: None)

        assert lane_admission.decode_answer(receive(sock, ANSWER_BYTES)) is not None


def test_a_session_that_is_not_known_here_is_told_so(relay: Relay) -> None:
    with greet(address(relay), b"x" * 16)[0] as sock:
        assert read_refusal(sock) is Code.WRONG_EDGE
    wait_refused(relay, Code.WRONG_EDGE)


@pytest.mark.parametrize("secret", [b"x" * 32, b""], ids=["another", "none"])
def test_a_stranger_who_knows_the_session_and_not_its_secret_is_refused(
    relay: Relay, secret: bytes
) -> None:
    sock, nonce = greet(address(relay))
    with sock:
        sock.sendall(prove(secret, Role.AGENT, read_identity(sock, nonce)))

        assert is_ended(sock)
    wait_refused(relay, Code.INVALID_SIGNATURE)


def test_the_edges_own_proof_does_not_admit_who_sends_it_back(relay: Relay) -> None:
    with greet(address(relay))[0] as sock:
        sock.sendall(receive(sock, ANSWER_BYTES)[-MAC_BYTES:])

        assert is_ended(sock)
    wait_refused(relay, Code.INVALID_SIGNATURE)


def test_a_replayed_admission_is_refused(relay: Relay) -> None:
    """An observer sends again what an agent sent; the edge's nonce is another."""
    sock, nonce = greet(address(relay))
    with sock:
        proof = prove(SECRET, Role.AGENT, read_identity(sock, nonce))
    relay.wait(lambda: relay.edge.lanes.refused == {Code.CLIENT_CLOSED: 1})

    with socket.create_connection(address(relay), timeout=20) as again:
        again.sendall(lane_admission.encode_hello(LaneHello(SESSION, nonce)))
        receive(again, ANSWER_BYTES)
        again.sendall(proof)
        assert is_ended(again)
    relay.wait(lambda: relay.edge.lanes.refused.get(Code.INVALID_SIGNATURE) == 1)
    assert not any(relay.edge.lanes.admitted.values())


def test_another_version_of_the_magic_is_refused(relay: Relay) -> None:
    with socket.create_connection(address(relay), timeout=20) as sock:
        sock.sendall(MAGIC[:-1] + b"\x02" + bytes(HELLO_BYTES - len(MAGIC)))

        assert read_refusal(sock) is Code.UNSUPPORTED_VERSION
    wait_refused(relay, Code.UNSUPPORTED_VERSION)


@pytest.mark.parametrize("sent", [0, 1, HELLO_BYTES - 1, HELLO_BYTES, HELLO_BYTES + MAC_BYTES - 1])
def test_an_admission_has_five_seconds_in_all(relay: Relay, sent: int) -> None:
    hello = lane_admission.encode_hello(LaneHello(SESSION, b"n" * 16))
    with socket.create_connection(address(relay), timeout=20) as sock:
        sock.sendall((hello + bytes(MAC_BYTES))[:sent])
        relay.wait(lambda: len(relay.edge.lanes.half_open) == 1)
        relay.pass_time(4.5)
        assert len(relay.edge.lanes.half_open) == 1
        relay.pass_time(1.0)

        wait_refused(relay, Code.HELLO_TIMEOUT)


def test_a_session_that_goes_away_admits_no_lane(relay: Relay) -> None:
    relay.calls.call(lambda: relay.edge.lanes.go_away(SESSION))
    with greet(address(relay))[0] as sock:
        assert read_refusal(sock) is Code.GOING_AWAY
    wait_refused(relay, Code.GOING_AWAY)


def test_a_session_has_512_idle_lanes_and_64_that_cross_others_at_most(relay: Relay) -> None:
    peers = [dial_lane(address(relay)) for _ in range(576)]
    session = relay.edge.session
    relay.wait(lambda: len(session.idle) == 576)
    # Those whose agent does not take what was sent at the end of their use count, too.
    relay.calls.call(lambda: session.unsent.add(session.idle.pop()))
    with greet(address(relay))[0] as sock:
        assert read_refusal(sock) is Code.LIMIT_EXCEEDED
    for peer in peers:
        peer.sock.close()


def wait_overloaded(relay: Relay, count: int) -> None:
    relay.wait(lambda: relay.edge.lanes.refused == {Code.OVERLOADED: count})


@pytest.fixture
def patient() -> Iterator[Relay]:
    """Relay with a lane, whose half-open lanes may take longer than a test."""
    relay = Relay(admission_s=60)
    yield relay
    relay.close()


def test_5000_half_open_lanes_take_no_more_places_than_256_and_slow_no_use_down(
    patient: Relay,
) -> None:
    with contextlib.ExitStack() as sockets:
        for _ in range(256):
            sock = sockets.enter_context(socket.create_connection(address(patient), timeout=20))
            sock.sendall(MAGIC)
        patient.wait(lambda: len(patient.edge.lanes.half_open) == 256)
        for count in range(593, 4_745, 593):  # no more than the queue of the listener holds
            for _ in range(593):
                socket.create_connection(address(patient), timeout=20).close()
            wait_overloaded(patient, count)
        use = patient.open_use()
        assert receive(use.origin, 5) == b"hello"

        assert len(patient.edge.lanes.half_open) == 256
    use.close()
