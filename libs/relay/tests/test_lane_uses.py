"""Uses of a lane until they are accepted: ACCEPT, retry without doubling, waits, and lost lanes."""

import socket
from collections.abc import Iterator
from dataclasses import replace
from typing import override

import pytest
from support.lane_peers import LanePeer, accept_lane, dial_lane, receive
from support.relay import ClientUse, Relay, tcp_pair

from towonel.relay.edge_lanes import EdgeLane
from towonel.wire import lanes
from towonel.wire.errors import Code
from towonel.wire.lanes import FrameType


@pytest.fixture
def edge() -> Iterator[Relay]:
    relay = Relay(lanes=0)
    yield relay
    relay.close()


@pytest.fixture
def peer(edge: Relay) -> Iterator[LanePeer]:
    """An agent, spoken by the test."""
    peer = dial_lane(edge.edge.acceptor.address)
    edge.wait(lambda: len(edge.edge.session.idle) == 1)
    with peer.sock:
        yield peer


def open_use(relay: Relay, *, repeatable: bool = False) -> tuple[ClientUse, socket.socket]:
    client, at_edge = tcp_pair()
    use = ClientUse(relay.edge, at_edge)
    session = relay.edge.session
    assert relay.calls.call(lambda: session.open(b"\x00hello", use, repeatable=repeatable))
    return use, client


# ACCEPT.


def test_accept_comes_alone_after_a_silence_and_the_origins_bytes_after_it(relay: Relay) -> None:
    use = relay.open_use()
    with use.client, use.origin:
        assert receive(use.origin, 5) == b"hello"
        use.client.sendall(b"more of the client")  # held until ACCEPT
        assert receive(use.origin, 18) == b"more of the client"
        use.origin.sendall(b"answer")
        assert receive(use.client, 6) == b"answer"


def test_an_origin_that_ends_without_a_byte_ends_the_client_so(relay: Relay) -> None:
    use = relay.open_use()
    with use.client:
        assert receive(use.origin, 5) == b"hello"
        use.origin.close()

        assert use.client.recv(1) == b""
    assert [end.code for end in use.wait_ended()] == [Code.NORMAL] * 2
    use.wait_idle()


@pytest.mark.interpreted
def test_an_agent_accepts_at_once_where_the_edge_holds_more(relay: Relay) -> None:
    relay.loop.delays.arm = lambda item, after_s: pytest.fail("it waits")  # type: ignore[method-assign]
    use = relay.open_use(more=True)
    with use.client, use.origin:
        use.client.sendall(b"more")
        assert receive(use.origin, 9) == b"hellomore"


# Retry, which must not let anything happen twice.


@pytest.mark.parametrize("repeatable", [False, True])
def test_a_rejected_use_may_be_tried_again_and_the_lane_is_used_again(
    relay: Relay, repeatable: bool
) -> None:
    relay.agent.origins.append(None)
    use, client = open_use(relay, repeatable=repeatable)
    with client:
        relay.wait(lambda: use.failures == [(Code.ORIGIN_REFUSED, True)])

        assert use.lane is None
        relay.wait(lambda: len(relay.edge.session.idle) == 1)
        assert relay.edge.lanes.lost == {}


@pytest.mark.parametrize("repeatable", [False, True])
def test_a_use_whose_lane_is_lost_is_tried_again_only_if_it_may_happen_twice(
    edge: Relay, peer: LanePeer, repeatable: bool
) -> None:
    use, client = open_use(edge, repeatable=repeatable)
    with client:
        assert peer.read_frame()[0] is FrameType.OPEN
        peer.sock.close()

        edge.wait(lambda: use.failures == [(Code.SESSION_LOST, repeatable)])
        assert edge.edge.session.in_use == 0


@pytest.mark.parametrize("repeatable", [False, True])
def test_a_use_that_the_agent_resets_before_accept_is_tried_again_only_if_it_may_happen_twice(
    edge: Relay, peer: LanePeer, repeatable: bool
) -> None:
    use, client = open_use(edge, repeatable=repeatable)
    with client:
        peer.sock.sendall(lanes.encode_code(FrameType.RESET, 1, Code.ORIGIN_RESET))

        edge.wait(lambda: use.failures == [(Code.ORIGIN_RESET, repeatable)])
        assert peer.read_frame()[0] is FrameType.OPEN
        assert peer.read_frame()[0] is FrameType.RESET
        edge.wait(lambda: len(edge.edge.session.idle) == 1)


def test_a_lane_that_is_dead_when_it_is_to_be_used_is_passed_over(edge: Relay) -> None:
    """It is closed by its peer, and the loop has not heard of it: no byte can reach an origin."""
    first, second = (dial_lane(edge.edge.acceptor.address) for _ in range(2))
    edge.wait(lambda: len(edge.edge.session.idle) == 2)
    edge.calls.call(lambda: edge.edge.session.idle[-1].sock.shutdown(socket.SHUT_WR))
    use, client = open_use(edge)
    with client, first.sock, second.sock:
        assert use.lane is not None
        assert edge.edge.session.in_use == 1
        assert edge.edge.lanes.lost == {Code.SESSION_LOST: 1}


def test_a_client_that_is_gone_before_accept_frees_the_lane_and_the_dial(relay: Relay) -> None:
    relay.agent.origins.append(Code.ORIGIN_TIMEOUT)
    use, client = open_use(relay)
    relay.wait(lambda: len(relay.agent.opened) == 1)
    relay.calls.call(lambda: relay.edge.session.cancel(use, Code.CLIENT_CLOSED))
    with client:
        relay.wait(lambda: relay.agent.cancelled == [Code.CLIENT_CLOSED])

        relay.wait(lambda: len(relay.edge.session.idle) == 1)
        assert (use.failures, use.lane) == ([], None)
        use.sock.close()


@pytest.mark.parametrize("kind", [FrameType.REJECT, FrameType.RESET, FrameType.ACCEPT])
def test_an_answer_that_crosses_the_clients_end_frees_the_lane(
    edge: Relay, peer: LanePeer, kind: FrameType
) -> None:
    use, client = open_use(edge)
    edge.calls.call(lambda: edge.edge.session.cancel(use, Code.CLIENT_CLOSED))
    answer = lanes.encode_code(kind, 1, Code.ORIGIN_REFUSED)
    if kind is FrameType.ACCEPT:
        answer = lanes.encode_head(kind, 1, 3) + b"abc" + lanes.encode_head(FrameType.END, 1, 0)
    peer.sock.sendall(answer)

    edge.wait(lambda: len(edge.edge.session.idle) == 1)
    assert use.failures == []
    use.sock.close()
    client.close()


def test_a_reset_without_an_answer_closes_the_lane_after_two_seconds(
    edge: Relay, peer: LanePeer
) -> None:
    use, client = open_use(edge)
    edge.calls.call(lambda: edge.edge.session.cancel(use, Code.CLIENT_CLOSED))
    edge.pass_time(1.7)
    assert edge.edge.lanes.lost == {}
    edge.pass_time(1)

    edge.wait(lambda: edge.edge.lanes.lost == {Code.SESSION_LOST: 1})
    use.sock.close()
    client.close()


# Agents that have vanished.


def test_an_agent_that_answers_no_ping_is_dead_and_the_client_goes_elsewhere(
    edge: Relay, peer: LanePeer
) -> None:
    use, client = open_use(edge, repeatable=True)
    edge.pass_time(0.6)
    assert use.failures == []
    edge.pass_time(1.3)

    with client:
        edge.wait(lambda: use.failures == [(Code.SESSION_SILENT, True)])
        assert edge.edge.session.silent_lanes == 1


def test_after_a_silent_lane_the_next_one_is_asked_at_once(edge: Relay, peer: LanePeer) -> None:
    edge.calls.call(lambda: setattr(edge.edge.session, "silent_lanes", 1))
    use, client = open_use(edge)
    with client:
        assert receive(peer.sock, 4)[0] >> 4 == FrameType.OPEN
        edge.pass_time(1.3)

        edge.wait(lambda: use.failures == [(Code.SESSION_SILENT, False)])
        assert edge.edge.session.silent_lanes == 2


@pytest.mark.parametrize("kind", [FrameType.ACCEPT, FrameType.REJECT, FrameType.PONG])
def test_any_answer_says_that_an_agent_is_not_silent(
    edge: Relay, peer: LanePeer, kind: FrameType
) -> None:
    edge.calls.call(lambda: setattr(edge.edge.session, "silent_lanes", 1))
    _, client = open_use(edge)
    with client:
        match kind:
            case FrameType.ACCEPT:
                peer.sock.sendall(lanes.encode_head(kind, 1, 0))
            case FrameType.REJECT:
                peer.sock.sendall(lanes.encode_code(kind, 1, Code.ORIGIN_REFUSED))
            case _:
                peer.sock.sendall(lanes.encode_head(kind, 0, 8) + bytes(8))

        edge.wait(lambda: edge.edge.session.silent_lanes == 0)


def test_a_new_lane_says_that_an_agent_is_not_silent(edge: Relay) -> None:
    edge.calls.call(lambda: setattr(edge.edge.session, "silent_lanes", 2))
    with dial_lane(edge.edge.acceptor.address).sock:
        edge.wait(lambda: edge.edge.session.silent_lanes == 0)


def test_a_slow_origin_is_not_a_dead_agent(relay: Relay) -> None:
    relay.agent.origins.append(Code.ORIGIN_TIMEOUT)
    use, client = open_use(relay)
    relay.wait(lambda: len(relay.agent.opened) == 1)
    for _ in range(20):
        relay.pass_time(0.6)
        relay.wait(lambda: not relay.edge.lane._pinged)

    assert use.failures == []
    relay.calls.call(lambda: relay.agent.opened[0][0].reject(Code.ORIGIN_TIMEOUT))
    with client:
        relay.wait(lambda: use.failures == [(Code.ORIGIN_TIMEOUT, True)])


def test_an_edge_that_opens_a_use_is_there_although_it_has_answered_no_ping(edge: Relay) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        target = replace(edge.target, address=server.getsockname())
        edge.calls.call(lambda: edge.agent.lanes.add_session(target, 1))
        peer = accept_lane(server)
    edge.agent.origins.append(None)
    peer.sock.sendall(peer.open(1, b"\x00hello"))
    assert (
        receive(peer.sock, 12 + 6)[12] >> 4 == FrameType.REJECT
    )  # after the PING of the beginning
    peer.sock.sendall(lanes.encode_code(FrameType.RESET, 1, Code.ORIGIN_REFUSED))
    edge.wait(lambda: len(edge.agent.session.idle) == 1)
    edge.pass_time(31)

    with peer.sock:
        assert receive(peer.sock, 12)[0] >> 4 == FrameType.PING
    assert edge.agent.reports == [None]


def test_a_peer_that_reads_no_answers_gets_no_more(edge: Relay, peer: LanePeer) -> None:
    ping = lanes.encode_head(FrameType.PING, 0, 8) + b"12345678"
    peer.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    (lane,) = edge.edge.session.idle
    while lane.clear:
        peer.sock.sendall(ping * 20_000)
    peer.sock.sendall(ping * 20_000)
    edge.calls.call(lambda: None)

    assert 0 < lane.pending_bytes <= len(ping)


def test_a_client_that_fails_as_it_is_accepted_frees_the_lane(relay: Relay) -> None:
    class Failing(ClientUse):
        @override
        def on_accepted(self, lane: EdgeLane) -> None:
            connection = self.connect(lane)
            connection.fail(Code.CLIENT_CLOSED)
            lane.attach(connection)

    client, at_edge = tcp_pair()
    origin, at_agent = tcp_pair()
    relay.agent.origins.append(at_agent)
    use = Failing(relay.edge, at_edge)
    relay.calls.call(lambda: relay.edge.session.open(b"\x00hello", use, repeatable=False))

    with client, origin:
        assert receive(origin, 5) == b"hello"
        with pytest.raises(ConnectionResetError):
            origin.recv(1)
    relay.wait(lambda: len(relay.edge.session.idle) == len(relay.agent.session.idle) == 1)


def test_an_origin_that_fails_as_it_is_accepted_frees_the_lane(relay: Relay) -> None:
    relay.agent.origins.append(Code.ORIGIN_TIMEOUT)
    use, client = open_use(relay)
    relay.wait(lambda: len(relay.agent.opened) == 1)
    origin, at_agent = tcp_pair()
    relay.calls.call(lambda: relay.agent.accept_failed(relay.agent.opened[0][0], at_agent))

    with client, origin:
        relay.wait(lambda: use.failures == [(Code.CLIENT_CLOSED, False)])
    relay.wait(lambda: len(relay.edge.session.idle) == len(relay.agent.session.idle) == 1)


# The waiting room.
