"""Lanes whose use is over, and whose peer has not read all of it: it gets that, but not any number of them stays."""

import contextlib
import socket
from collections.abc import Callable, Iterator
from functools import partial

import pytest
from support.lane_peers import LanePeer, accept_lane, dial_lane, receive
from support.relay import SECRET, SESSION, ClientUse, Relay, Use, tcp_pair

from towonel.relay.agent_lanes import LaneTarget
from towonel.relay.lane import Lane
from towonel.relay.socket_end import SocketEnd
from towonel.wire import lanes
from towonel.wire.errors import Code
from towonel.wire.lanes import FrameType

MOST = 2
PIECE = bytes(64 * 1024)
ACCEPT = lanes.encode_head(FrameType.ACCEPT, 1, 0)
END = lanes.encode_head(FrameType.END, 1, 0)
PONG = lanes.encode_head(FrameType.PONG, 0, 8) + bytes(8)


@pytest.fixture
def bounded() -> Iterator[Relay]:
    """Ends of lanes that are the test's to dial."""
    relay = Relay(lanes=0, max_unsent=MOST)
    yield relay
    relay.close()


def fill(relay: Relay, sock: socket.socket, find: Callable[[], SocketEnd | None]) -> int:
    """Send on a connection until one of the relay's sockets takes no more; return how many bytes that were."""
    sent = 0

    def is_full() -> bool:
        nonlocal sent
        with contextlib.suppress(BlockingIOError):
            sent += sock.send(PIECE)
        end = find()
        return end is not None and not end.clear

    sock.setblocking(False)
    relay.wait(is_full)
    return sent


def fail(lane: Lane, code: Code) -> None:
    assert lane.connection is not None
    lane.connection.fail(code)


def begin_half_closed(relay: Relay) -> Use:
    """A client that has asked, ended its bytes, and reads nothing yet."""
    use = relay.open_use()
    use.client.shutdown(socket.SHUT_WR)
    relay.wait(lambda: relay.edge.lane.state.sent_last)
    return use


def read_all(sock: socket.socket) -> int:
    got = 0
    while data := sock.recv(1 << 20):
        got += len(data)
    return got


def test_a_client_that_ended_its_bytes_may_pause_in_an_answer(relay: Relay) -> None:
    """The PING of the agent, for which the use is over, waits behind the answer."""
    use = begin_half_closed(relay)
    size = fill(relay, use.origin, lambda: relay.edge.lane.connection)
    use.origin.shutdown(socket.SHUT_WR)
    relay.wait(lambda: relay.agent.lane.resting)
    for _ in range(30):
        relay.pass_time(5)

    with use.client, use.origin:
        assert read_all(use.client) == size
    relay.wait(lambda: len(relay.edge.session.idle) == 1)
    assert relay.agent.lanes.lost == {}


def test_an_edge_that_has_read_the_last_use_and_answers_no_ping_is_gone(bounded: Relay) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        peer = _admit(bounded, server, SESSION)
        with peer.sock:
            bounded.agent.origins.append(None)
            peer.sock.sendall(peer.open(1, b"\0a client"))
            assert peer.read_frame()[0] is FrameType.REJECT
            peer.sock.sendall(lanes.encode_code(FrameType.RESET, 1, Code.NORMAL) + PONG)
            bounded.wait(lambda: bounded.agent.lane.resting)
            for _ in range(7):
                bounded.pass_time(10)

            bounded.wait(lambda: bounded.agent.lanes.lost == {Code.SESSION_LOST: 1})


def _admit(relay: Relay, server: socket.socket, session_id: bytes) -> LanePeer:
    target = LaneTarget(session_id, SECRET, *_edge_of(relay), server.getsockname())
    relay.calls.call(lambda: relay.agent.lanes.add_session(target, 1))
    return accept_lane(server)


def _edge_of(relay: Relay) -> tuple[bytes, bytes]:
    return relay.target.edge_id, relay.target.certificate_hash


def leave_unread_at_edge(relay: Relay) -> LanePeer:
    """Use a lane whose agent ends its part, and reads nothing; the client is cut."""
    peer = dial_lane(relay.edge.acceptor.address)
    relay.wait(lambda: bool(relay.edge.session.idle))
    client, at_edge = tcp_pair()
    use = ClientUse(relay.edge, at_edge)
    session = relay.edge.session
    assert relay.calls.call(lambda: session.open(b"\0hello", use, repeatable=False))
    peer.sock.sendall(ACCEPT + END)
    lane = relay.edge.lane
    with client:
        fill(relay, client, lambda: lane if lane.connection is not None else None)
        relay.calls.call(lambda: fail(lane, Code.NO_ROUTE))
    relay.wait(lambda: lane in session.unsent)
    return peer


def test_lanes_that_agents_do_not_read_outlive_their_sessions_up_to_a_number(
    bounded: Relay,
) -> None:
    edge, peers = bounded.edge, []
    for _ in range(MOST + 1):
        peers.append(leave_unread_at_edge(bounded))
        bounded.calls.call(lambda: edge.lanes.end_session(SESSION))
        edge.session = bounded.calls.call(lambda: edge.lanes.add_session(SESSION, SECRET, 0.001))

    assert edge.lanes.lost == {Code.LIMIT_EXCEEDED: 1}
    assert peers[0].is_closed()
    for peer in peers:
        peer.sock.close()


def leave_unread_at_agent(relay: Relay, session_id: bytes) -> LanePeer:
    """Use a lane whose edge ends its part, and reads no more than ACCEPT; the origin fails."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        peer = _admit(relay, server, session_id)
    origin, at_agent = tcp_pair()
    relay.agent.origins.append(at_agent)
    peer.sock.sendall(peer.open(1, b"\0a client"))
    with origin:
        assert peer.read_frame()[0] is FrameType.ACCEPT
        peer.sock.sendall(END)
        assert receive(origin, 8) == b"a client"
        assert origin.recv(1) == b""
        lane = relay.agent.opened[-1][0]
        fill(relay, origin, lambda: lane)
        relay.calls.call(lambda: fail(lane, Code.ORIGIN_RESET))
    relay.wait(lambda: lane.resting)
    return peer


def test_lanes_that_edges_do_not_read_outlive_their_sessions_up_to_a_number(
    bounded: Relay,
) -> None:
    agent, peers = bounded.agent, []
    for number in range(MOST + 1):
        session_id = bytes([number]) * 16
        peers.append(leave_unread_at_agent(bounded, session_id))
        bounded.calls.call(partial(agent.lanes.end_session, session_id))

    assert agent.lanes.lost == {Code.LIMIT_EXCEEDED: 1}
    for peer in peers:
        peer.sock.close()
