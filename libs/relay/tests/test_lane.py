"""Lane: what one socket is told reaches the other as it was meant, and the lane is used again."""

import hashlib
import socket
import struct
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from support.relay import WAIT_S, Relay, Use

from towonel.relay.pipes import MAX_PIPES
from towonel.wire.errors import Code

MIB = 1024 * 1024
RESET = struct.pack("ii", 1, 0)


@pytest.fixture(params=["spliced", "copied", "tls"])
def relay(request: pytest.FixtureRequest) -> Iterator[Relay]:
    kind: str = request.param
    relay = Relay(pipes=0 if kind == "copied" else MAX_PIPES, tls=kind == "tls")
    yield relay
    relay.close()


@pytest.fixture
def use(relay: Relay) -> Iterator[Use]:
    use = relay.open_use()
    assert receive(use.origin, 5) == b"hello"
    yield use
    use.close()


def receive(sock: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size and (more := sock.recv(size - len(data))):
        data += more
    return data


def read_to_end(sock: socket.socket) -> tuple[int, str]:
    found, size = hashlib.sha256(), 0
    while data := sock.recv(MIB):
        found.update(data)
        size += len(data)
    return size, found.hexdigest()


def write_to_end(sock: socket.socket, size: int, seed: int) -> tuple[int, str]:
    found = hashlib.sha256()
    pattern = bytes((seed * i) % 251 for i in range(65_536))
    for start in range(0, size, len(pattern)):
        piece = pattern[: size - start]
        found.update(piece)
        sock.sendall(piece)
    sock.shutdown(socket.SHUT_WR)
    return size, found.hexdigest()


def test_messages_travel_both_ways(use: Use) -> None:
    for number in range(100):
        message = bytes([number]) * (number * 37 + 1)
        use.client.sendall(message)
        assert receive(use.origin, len(message)) == message
        use.origin.sendall(message[::-1])
        assert receive(use.client, len(message)) == message[::-1]


def test_bulk_travels_both_ways_at_once_in_order_and_is_counted(use: Use) -> None:
    with ThreadPoolExecutor(4) as threads:
        reads = [threads.submit(read_to_end, sock) for sock in (use.origin, use.client)]
        writes = [
            threads.submit(write_to_end, use.client, 40 * MIB + 3, 7),
            threads.submit(write_to_end, use.origin, 50 * MIB + 5, 11),
        ]
        assert [r.result(60) for r in reads] == [w.result(60) for w in writes]

    edge, agent = use.wait_ended()
    use.wait_idle()
    assert (edge.code, agent.code) == (Code.NORMAL, Code.NORMAL)
    assert (edge.received, edge.sent) == (40 * MIB + 3, 50 * MIB + 5)
    assert (agent.received, agent.sent) == (50 * MIB + 5, 40 * MIB + 3 + len(b"hello"))


@pytest.mark.parametrize("first", ["client", "origin"])
def test_one_side_may_end_its_bytes_and_read_on(use: Use, first: str) -> None:
    one, other = (use.client, use.origin) if first == "client" else (use.origin, use.client)
    one.sendall(b"question")
    one.shutdown(socket.SHUT_WR)

    assert receive(other, 100) == b"question"
    other.sendall(b"answer")
    other.close()
    assert receive(one, 100) == b"answer"
    assert [end.code for end in use.wait_ended()] == [Code.NORMAL] * 2
    use.wait_idle()


@pytest.mark.parametrize("first", ["client", "origin"])
def test_a_reset_is_a_reset_at_the_other_side(use: Use, first: str) -> None:
    one, other = (use.client, use.origin) if first == "client" else (use.origin, use.client)
    one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    one.close()

    with pytest.raises(ConnectionResetError):
        other.recv(1)
    assert [end.code for end in use.wait_ended()] == [Code.CLIENT_CLOSED] * 2
    use.wait_idle()


@pytest.mark.parametrize("first", ["client", "origin"])
def test_a_side_that_ended_its_bytes_and_then_vanishes_is_noticed_while_nothing_comes_for_it(
    use: Use, first: str
) -> None:
    one, other = (use.client, use.origin) if first == "client" else (use.origin, use.client)
    one.shutdown(socket.SHUT_WR)
    assert receive(other, 1) == b""
    one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    one.close()

    assert [end.code for end in use.wait_ended()] == [Code.CLIENT_CLOSED] * 2
    use.wait_idle()


@pytest.mark.parametrize("side", ["edge", "agent"])
def test_a_connection_in_which_nothing_moves_for_its_limit_ends_and_a_busy_one_does_not(
    relay: Relay, side: str
) -> None:
    (relay.edge if side == "edge" else relay.agent).idle_s = 10.0
    use = relay.open_use()
    assert receive(use.origin, 5) == b"hello"
    for sock, other in [(use.client, use.origin), (use.origin, use.client)] * 2:
        relay.pass_time(9)
        sock.sendall(b"x")
        assert receive(other, 1) == b"x"
    relay.pass_time(11)
    relay.pass_time(11)

    for sock in (use.client, use.origin):
        with pytest.raises(ConnectionResetError):
            sock.recv(1)
    assert [end.code for end in use.wait_ended()] == [Code.CLIENT_TIMEOUT] * 2
    use.wait_idle()
    use.close()


def test_an_origin_that_lasts_is_kept_alive_and_its_lane_is_looked_after(use: Use) -> None:
    relay = use.relay
    (lane,) = relay.agent.session.busy
    relay.wait(lambda: lane.connection is not None)
    assert lane.connection is not None
    sock = lane.connection.sock
    assert not sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    relay.pass_time(6)
    relay.pass_time(6)

    assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    use.client.sendall(b"still there")
    assert receive(use.origin, 11) == b"still there"


def test_a_lane_whose_other_end_vanishes_is_noticed_in_35_s_though_nothing_is_on_the_way(
    use: Use,
) -> None:
    tcp, lanes = socket.IPPROTO_TCP, (*use.relay.edge.session.busy, *use.relay.agent.session.busy)
    options = (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT)
    found = [[lane.sock.getsockopt(tcp, option) for option in options] for lane in lanes]

    assert len(found) == 2
    assert [idle_s + interval_s * probes for idle_s, interval_s, probes in found] == [35, 35]


def fail_after_end(use: Use, sent: bytes) -> None:
    """Let an origin end its answer, and fail while the client still sends."""
    use.client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
    use.origin.sendall(sent)
    use.origin.shutdown(socket.SHUT_WR)
    use.relay.wait(lambda: any(lane.state._received for lane in use.relay.edge.session.busy))
    use.origin.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    use.origin.close()


def test_an_answer_that_has_ended_arrives_although_its_origin_fails_then(use: Use) -> None:
    """A server that answers before it has read all, and closes: its kernel resets."""
    answer = bytes(range(256)) * 1000
    fail_after_end(use, answer)
    use.wait_idle()  # the lane is free although the client has not read yet

    assert receive(use.client, len(answer)) == answer
    assert use.client.recv(1) == b""
    use.client.close()
    assert [end.code for end in use.wait_ended()] == [Code.CLIENT_CLOSED] * 2


def test_a_client_that_goes_on_sending_to_a_failed_origin_is_reset_in_the_end(use: Use) -> None:
    fail_after_end(use, b"answer")
    assert receive(use.client, 6) == b"answer"
    use.wait_idle()

    with pytest.raises((ConnectionResetError, BrokenPipeError)):
        send_for_ever(use.client)
    edge, _ = use.wait_ended()
    assert (edge.code, edge.received) == (Code.CLIENT_CLOSED, 0)


def send_for_ever(sock: socket.socket) -> None:
    while True:
        sock.sendall(bytes(1000))


def test_a_client_that_does_not_read_a_failed_answer_is_reset_in_the_end(use: Use) -> None:
    fail_after_end(use, bytes(3 * MIB))

    edge, _ = use.wait_ended()
    assert edge.code is Code.CLIENT_CLOSED
    with pytest.raises(ConnectionResetError):
        receive(use.client, 3 * MIB)


def test_a_lane_is_used_by_one_client_after_another(relay: Relay) -> None:
    for number in range(40):
        use = relay.open_use(f"client {number}".encode())
        assert receive(use.origin, len(f"client {number}")) == f"client {number}".encode()
        use.origin.sendall(b"bye")
        use.origin.close()
        assert receive(use.client, 10) == b"bye"
        use.client.close()
        use.wait_ended()
        use.wait_idle()

    assert relay.edge.lane.state.use == relay.agent.lane.state.use == 40
    assert relay.edge.lanes.lost == relay.agent.lanes.lost == {}


def test_a_refused_client_is_reset_and_the_lane_serves_the_next(relay: Relay) -> None:
    refused = relay.open_use(refused=True)

    with pytest.raises(ConnectionResetError):
        refused.client.recv(1)
    assert relay.edge.gone.acquire(timeout=WAIT_S)
    assert relay.edge.ended[-1].code is Code.ORIGIN_REFUSED
    refused.wait_idle()
    use = relay.open_use()
    assert receive(use.origin, 5) == b"hello"
    refused.close()
    use.close()


def test_a_lost_lane_is_a_reset_for_both_and_never_an_end(relay: Relay, use: Use) -> None:
    relay.calls.call(lambda: relay.agent.lane.lose(Code.SESSION_LOST))

    for sock in (use.client, use.origin):
        with pytest.raises(ConnectionResetError):
            sock.recv(1)
    assert [end.code for end in use.wait_ended()] == [Code.SESSION_LOST] * 2
    assert relay.edge.lanes.lost == {Code.SESSION_LOST: 1}
