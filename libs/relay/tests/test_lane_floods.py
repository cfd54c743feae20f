"""Floods of frames: a peer that sends them faster than they are acted on has a turn like others."""

import select
import socket
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from support.lane_peers import LanePeer, accept_lane, receive
from support.relay import ClientUse, Relay, tcp_pair

from towonel.relay.core.deadlines import TICK_S
from towonel.relay.frame_reader import FRAMES_AT_ONCE
from towonel.relay.lane import Lane
from towonel.relay.sessions.dialer import MAX_REPLACED, REPLACE_PAUSE_S, REPLACED_WITHIN_S
from towonel.wire import lanes
from towonel.wire.errors import Code
from towonel.wire.lanes import FrameType

PING = lanes.encode_head(FrameType.PING, 0, 8) + bytes(8)
PONG = lanes.encode_head(FrameType.PONG, 0, 8) + bytes(8)
MANY = 100 * FRAMES_AT_ONCE


@pytest.fixture
def relay() -> Iterator[Relay]:
    relay = Relay(lanes=0)
    yield relay
    relay.close()


def count_at_once(
    relay: Relay, lane: Lane, peer: LanePeer, flood: bytes, count: Callable[[], int]
) -> tuple[int, bool]:
    """Return how many frames of a flood were acted on when the lane was told, and whether it has a turn."""

    def tell() -> tuple[int, bool]:
        before = count()
        peer.sock.sendall(flood)  # which is here at once, over loopback
        lane.on_ready(select.EPOLLIN)
        return count() - before, lane.queued

    return relay.calls.call(tell)


def count_pongs(lane: Lane) -> list[None]:
    """Return a list that gets an item for each PONG that comes on a lane."""
    seen: list[None] = []
    act = lane.on_pong

    def on_pong() -> None:
        seen.append(None)
        act()

    lane.on_pong = on_pong  # type: ignore[method-assign]
    return seen


@pytest.mark.interpreted
def test_a_flood_of_frames_has_turns_and_all_of_it_arrives(
    relay: Relay, agent_peer: LanePeer
) -> None:
    lane = relay.edge.lane
    seen = count_pongs(lane)

    at_once = count_at_once(relay, lane, agent_peer, PONG * MANY, lambda: len(seen))

    assert at_once == (FRAMES_AT_ONCE, True)
    relay.wait(lambda: len(seen) == MANY)
    assert relay.edge.session.idle == [lane]


@pytest.mark.interpreted
def test_a_lane_that_waits_for_its_turn_gets_none_for_what_comes_meanwhile(
    relay: Relay, agent_peer: LanePeer
) -> None:
    lane = relay.edge.lane
    seen = count_pongs(lane)

    def tell_often() -> int:
        agent_peer.sock.sendall(PONG * MANY)
        for _ in range(10):
            lane.on_ready(select.EPOLLIN)
        return len(seen)

    assert relay.calls.call(tell_often) == FRAMES_AT_ONCE


def test_uses_that_an_edge_opens_without_waiting_for_answers_have_turns(
    relay: Relay, edge_peer: LanePeer
) -> None:
    relay.agent.origins += [None] * MANY
    reset = [lanes.encode_code(FrameType.RESET, use, Code.CANCELLED) for use in range(16)]
    uses = range(1, MANY + 1)
    flood = b"".join(edge_peer.open(use, b"\0a client") + reset[use & 15] for use in uses)
    opened = relay.agent.opened

    at_once = count_at_once(relay, relay.agent.lane, edge_peer, flood, lambda: len(opened))

    assert at_once == (FRAMES_AT_ONCE // 2, True)
    relay.wait(lambda: len(opened) == MANY)


def test_short_messages_of_a_flood_arrive_in_order(relay: Relay, agent_peer: LanePeer) -> None:
    client, at_edge = tcp_pair()
    use = ClientUse(relay.edge, at_edge)
    session = relay.edge.session
    assert relay.calls.call(lambda: session.open(b"\0hello", use, repeatable=False))
    agent_peer.read_frame()
    messages = [number.to_bytes(3) for number in range(MANY)]
    head = lanes.encode_head(FrameType.DATA, 1, 3)
    accept = lanes.encode_head(FrameType.ACCEPT, 1, 0)
    end = lanes.encode_head(FrameType.END, 1, 0)

    agent_peer.sock.sendall(accept + b"".join(head + each for each in messages) + end)

    with client:
        assert receive(client, 3 * MANY) == b"".join(messages)


def test_a_flood_that_is_followed_by_an_end_closes_the_lane(
    relay: Relay, agent_peer: LanePeer
) -> None:
    agent_peer.sock.sendall(PING * MANY)
    agent_peer.sock.shutdown(socket.SHUT_WR)

    relay.wait(lambda: relay.edge.lanes.lost == {Code.SESSION_LOST: 1})


def test_a_frame_out_of_place_behind_a_flood_closes_the_lane(
    relay: Relay, agent_peer: LanePeer
) -> None:
    agent_peer.sock.sendall(PONG * MANY + lanes.encode_head(FrameType.END, 1, 0))

    relay.wait(lambda: relay.edge.lanes.lost == {Code.UNEXPECTED_MESSAGE: 1})


def close_when_it_works(relay: Relay, server: socket.socket) -> None:
    """Admit the next lane of the agent, and close it as soon as it has seen that it works."""
    peer = accept_lane(server)
    with peer.sock:
        peer.sock.sendall(PONG)
        relay.wait(lambda: any(lane._worked for lane in relay.agent.session.idle))


def test_lanes_that_an_edge_closes_once_they_work_are_replaced_so_often_and_then_later(
    relay: Relay,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        target = replace(relay.target, address=server.getsockname())
        relay.calls.call(lambda: relay.agent.lanes.add_session(target, 1))
        for _ in range(MAX_REPLACED + 1):
            close_when_it_works(relay, server)
        relay.wait(lambda: sum(relay.agent.lanes.lost.values()) > MAX_REPLACED)
        assert not relay.agent.session.dials

        relay.pass_time(REPLACE_PAUSE_S + TICK_S)
        close_when_it_works(relay, server)


def test_lanes_that_are_lost_over_a_long_time_are_replaced_at_once(relay: Relay) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        target = replace(relay.target, address=server.getsockname())
        relay.calls.call(lambda: relay.agent.lanes.add_session(target, 1))
        for _ in range(MAX_REPLACED):
            close_when_it_works(relay, server)
        relay.pass_time(REPLACED_WITHIN_S)
        try:
            close_when_it_works(relay, server)
        except OSError:  # it was dialed before that time, and took too long
            close_when_it_works(relay, server)
        relay.wait(lambda: sum(relay.agent.lanes.lost.values()) > MAX_REPLACED)

        assert relay.agent.session.dials
