"""Sessions of lanes: how many there are, and how they end, at either end."""

import socket
from collections.abc import Iterator
from functools import partial

import pytest
from support.edge_identity import CERTIFICATE_HASH, EDGE_ID
from support.lane_peers import LanePeer, accept_lane, receive
from support.relay import SECRET, SESSION, Relay, Use

from towonel.relay.agent_lanes import LaneTarget
from towonel.relay.core.lane_pool import SHRINK_S, SURPLUS_S
from towonel.relay.sessions.dialer import MAX_DIALING
from towonel.wire import lane_admission, lanes
from towonel.wire.errors import Code
from towonel.wire.lanes import FrameType


@pytest.fixture
def relay() -> Iterator[Relay]:
    relay = Relay(lanes=2)
    yield relay
    relay.close()


@pytest.fixture
def use(relay: Relay) -> Iterator[Use]:
    use = relay.open_use()
    assert receive(use.origin, 5) == b"hello"
    yield use
    use.close()


def finish(use: Use) -> None:
    """End a use that goes on, and see that nothing is missing."""
    use.origin.sendall(b"the rest")
    use.origin.close()
    assert receive(use.client, 8) == b"the rest"
    assert use.client.recv(1) == b""
    use.client.close()


def no_lane_left(relay: Relay) -> bool:
    lanes = relay.edge.session.idle, relay.edge.session.busy, relay.edge.lanes.half_open
    return not any(lanes)


# How many.


def test_demand_is_told_at_once_and_met_by_the_agent(relay: Relay) -> None:
    uses = [relay.open_use() for _ in range(2)]
    assert not relay.calls.call(
        lambda: relay.edge.session.open(b"\x00", uses[0].at_edge, repeatable=False)
    )
    wanted = relay.edge.wanted[-1]
    assert wanted == 4
    relay.calls.call(lambda: relay.agent.lanes.set_wanted(SESSION, wanted))

    relay.wait(lambda: len(relay.edge.session.idle) == 2)
    for use in uses:
        use.close()


def test_surplus_lanes_are_closed_once_the_agent_knows(relay: Relay) -> None:
    relay.calls.call(lambda: relay.agent.lanes.set_wanted(SESSION, 20))
    relay.wait(lambda: len(relay.edge.session.idle) == 20)
    relay.calls.call(lambda: relay.agent.lanes.set_wanted(SESSION, 2))
    relay.pass_time(SURPLUS_S + 2)

    relay.wait(lambda: len(relay.edge.session.idle) == len(relay.agent.session.idle) == 2)
    assert relay.edge.lanes.lost == {Code.NORMAL: 18}


def test_less_is_wanted_after_a_minute_without_demand(relay: Relay) -> None:
    uses = [relay.open_use() for _ in range(2)]
    relay.pass_time(1.5)
    relay.wait(lambda: relay.edge.wanted[-1] == 4)
    for use in uses:
        use.close()
        use.wait_ended()
    uses[0].wait_idle()
    relay.pass_time(SHRINK_S)
    relay.pass_time(SHRINK_S + 1)

    relay.wait(lambda: relay.edge.wanted[-1] == 2)


def test_the_lane_that_was_used_last_is_used_first(relay: Relay) -> None:
    for _ in range(5):
        use = relay.open_use()
        assert receive(use.origin, 5) == b"hello"
        finish(use)
        use.wait_idle()

    assert [lane.state.use for lane in relay.edge.session.idle] == [0, 5]


# How they end.


def test_a_session_that_goes_away_finishes_its_uses(relay: Relay, use: Use) -> None:
    relay.calls.call(lambda: relay.edge.lanes.go_away(SESSION))
    relay.wait(lambda: not relay.edge.session.idle)
    finish(use)

    relay.wait(lambda: no_lane_left(relay))
    assert [end.code for end in use.wait_ended()] == [Code.NORMAL] * 2
    assert relay.edge.session.wanted == 0
    assert not relay.calls.call(
        lambda: relay.edge.session.open(b"\x00", use.at_edge, repeatable=False)
    )


@pytest.mark.parametrize("side", ["edge", "agent"])
def test_a_session_that_is_lost_finishes_its_uses(relay: Relay, use: Use, side: str) -> None:
    ending = relay.edge.lanes if side == "edge" else relay.agent.lanes
    relay.calls.call(lambda: ending.end_session(SESSION))
    relay.wait(lambda: not relay.edge.session.idle)
    assert ending.find(SESSION) is None
    finish(use)

    relay.wait(lambda: no_lane_left(relay))
    assert [end.code for end in use.wait_ended()] == [Code.NORMAL] * 2


@pytest.mark.parametrize("side", ["edge", "agent"])
def test_a_revoked_tenants_uses_are_cut_at_once(relay: Relay, use: Use, side: str) -> None:
    ending = relay.edge.lanes if side == "edge" else relay.agent.lanes
    relay.calls.call(lambda: ending.end_session(SESSION, cut=Code.TENANT_REVOKED))

    for sock in (use.client, use.origin):
        with pytest.raises(ConnectionResetError):
            sock.recv(1)
    ended = relay.edge.ended if side == "edge" else relay.agent.ended
    relay.wait(lambda: [end.code for end in ended] == [Code.TENANT_REVOKED])
    relay.wait(lambda: no_lane_left(relay))


def test_a_cut_use_gets_not_even_what_was_whole(relay: Relay, use: Use) -> None:
    """The answer has ended, and waits for a client that reads slowly: it is reset all the same."""
    use.client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    use.origin.sendall(bytes(500_000))
    use.origin.shutdown(socket.SHUT_WR)
    relay.wait(lambda: all(lane.state._received for lane in relay.edge.session.busy))
    relay.calls.call(lambda: relay.edge.lanes.end_session(SESSION, cut=Code.TENANT_REVOKED))

    with pytest.raises(ConnectionResetError):
        receive(use.client, 500_000)


def test_ending_an_unknown_session_is_nothing(relay: Relay) -> None:
    for ending in (relay.edge.lanes, relay.agent.lanes):
        relay.calls.call(partial(ending.end_session, b"x" * 16))
        relay.calls.call(partial(ending.go_away, b"x" * 16))
    relay.calls.call(lambda: relay.agent.lanes.set_wanted(b"x" * 16, 3))

    assert len(relay.edge.session.idle) == 2


def test_an_agent_that_goes_away_rejects_what_crosses_and_finishes_its_uses(
    relay: Relay, use: Use
) -> None:
    relay.calls.call(lambda: relay.agent.lanes.go_away(SESSION))
    late = relay.open_use()
    with late.client, late.origin:
        relay.wait(lambda: late.at_edge.failures == [(Code.GOING_AWAY, True)])

    finish(use)
    use.wait_idle()


def test_a_worker_that_stops_closes_idle_and_half_open_lanes_and_finishes(
    relay: Relay, use: Use
) -> None:
    with socket.create_connection(relay.edge.acceptor.address, timeout=20) as half:
        half.sendall(lane_admission.MAGIC)
        relay.wait(lambda: len(relay.edge.lanes.half_open) == 1)
        relay.calls.call(relay.edge.lanes.close_idle)
    finish(use)

    relay.wait(lambda: no_lane_left(relay))
    assert relay.edge.lanes.refused[Code.DRAINING] == 1


# The agent's side.


@pytest.fixture
def agent() -> Iterator[Relay]:
    relay = Relay(lanes=0)
    yield relay
    relay.close()


def dial(agent: Relay, address: tuple[str, int], secret: bytes = SECRET) -> None:
    target = LaneTarget(SESSION, secret, EDGE_ID, CERTIFICATE_HASH, address)
    agent.calls.call(lambda: agent.agent.lanes.add_session(target, 1))


def test_an_edge_that_wants_lanes_without_end_gets_512_idle_ones(relay: Relay) -> None:
    def want() -> int:
        relay.agent.lanes.set_wanted(SESSION, 1_000_000)
        return len(relay.agent.session.dials)

    assert relay.calls.call(want) == MAX_DIALING
    relay.wait(lambda: len(relay.edge.session.idle) == 512)
    assert not relay.agent.session.dials


def test_of_several_workers_each_has_its_part_of_the_limits(agent: Relay) -> None:
    agent.agent.lanes.workers = 3
    dial(agent, agent.edge.acceptor.address)

    def want() -> int:
        agent.agent.lanes.set_wanted(SESSION, 1_000_000)
        return len(agent.agent.session.dials)

    assert agent.calls.call(want) == 22
    agent.wait(lambda: len(agent.edge.session.idle) == 171)
    assert not agent.agent.session.dials


def test_lanes_in_use_are_no_part_of_the_limit_and_are_replaced(relay: Relay) -> None:
    relay.calls.call(lambda: relay.agent.lanes.set_wanted(SESSION, 600))
    relay.wait(lambda: len(relay.edge.session.idle) == 512)
    uses = [relay.open_use() for _ in range(20)]

    relay.wait(lambda: len(relay.edge.session.idle) == len(relay.agent.session.idle) == 512)
    assert relay.agent.lanes.failed == {}
    for use in uses:
        use.close()
    relay.wait(lambda: relay.edge.lanes.lost == {Code.NORMAL: 20})


def wait_failures(agent: Relay, count: int) -> None:
    agent.wait(lambda: agent.agent.session.choice.failures == count)


def fail_thrice(agent: Relay) -> None:
    for count in (1, 2, 3):
        wait_failures(agent, count)
        if count < 3:
            agent.pass_time(2)


@pytest.mark.parametrize(
    ("session", "secret", "code"),
    [(SESSION, b"x" * 32, Code.INVALID_SIGNATURE), (b"x" * 16, SECRET, Code.WRONG_EDGE)],
    ids=["an edge that proves nothing", "another edge"],
)
def test_three_failed_admissions_are_reported_once(
    agent: Relay, session: bytes, secret: bytes, code: Code
) -> None:
    agent.edge.lanes.sessions = {session: agent.edge.session}
    dial(agent, agent.edge.acceptor.address, secret)
    fail_thrice(agent)
    agent.pass_time(80)
    wait_failures(agent, 4)

    assert agent.agent.reports == [code]
    assert agent.agent.lanes.failed == {code: 4}


def test_a_port_that_is_closed_is_a_failure(agent: Relay) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = server.getsockname()
    dial(agent, address)
    fail_thrice(agent)

    assert agent.agent.reports == [Code.SESSION_LOST]


def test_an_edge_that_does_not_answer_is_a_failure(agent: Relay) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        dial(agent, server.getsockname())
        agent.pass_time(6)
        wait_failures(agent, 1)
        assert agent.agent.lanes.failed == {Code.HELLO_TIMEOUT: 1}


def test_a_lane_that_is_closed_before_it_worked_is_a_failed_admission(agent: Relay) -> None:
    """A box on the way, which lets a few bytes pass and cuts what it does not know."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        dial(agent, server.getsockname())
        accept_lane(server).sock.close()
        wait_failures(agent, 1)


def refuse_next(server: socket.socket, code: Code) -> None:
    server.settimeout(20)
    with server.accept()[0] as sock:
        receive(sock, lane_admission.HELLO_BYTES)
        sock.sendall(lane_admission.encode_refusal(code))


@pytest.mark.parametrize("code", [Code.OVERLOADED, Code.LIMIT_EXCEEDED])
def test_an_edge_that_is_full_is_no_failure_and_is_dialed_again(agent: Relay, code: Code) -> None:
    """Its half-open lanes are those of all agents: that there are many says nothing about lanes."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        dial(agent, server.getsockname())
        for count in (1, 2, 3):
            refuse_next(server, code)
            expected = {code: count}
            agent.wait(partial(expected.__eq__, agent.agent.lanes.failed))
            agent.pass_time(0.5)

        with accept_lane(server).sock:
            agent.wait(lambda: len(agent.agent.session.idle) == 1)
            assert (agent.agent.session.choice.failures, agent.agent.reports) == (0, [])


def test_fewer_lanes_are_dialed_at_a_time_at_an_edge_that_is_full(agent: Relay) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=256) as server:
        dial(agent, server.getsockname())
        agent.calls.call(lambda: agent.agent.lanes.set_wanted(SESSION, 200))
        session = agent.agent.session
        assert len(session.dials) == MAX_DIALING
        for _ in range(MAX_DIALING):
            refuse_next(server, Code.OVERLOADED)
        agent.wait(lambda: not session.dials)
        agent.pass_time(0.5)

        agent.wait(lambda: len(session.dials) == MAX_DIALING // 2)


def test_lanes_come_back_when_the_edge_admits_them_again(agent: Relay) -> None:
    sessions, agent.edge.lanes.sessions = agent.edge.lanes.sessions, {}
    dial(agent, agent.edge.acceptor.address)
    fail_thrice(agent)
    agent.edge.lanes.sessions = sessions
    agent.pass_time(80)

    agent.wait(lambda: len(agent.edge.session.idle) == 1)
    agent.wait(lambda: agent.agent.reports == [Code.WRONG_EDGE, None])
    assert agent.agent.session.choice.failures == 0


def test_the_first_lane_that_works_is_reported_and_no_other(agent: Relay) -> None:
    dial(agent, agent.edge.acceptor.address)
    agent.wait(lambda: agent.agent.reports == [None])
    agent.calls.call(lambda: agent.agent.lanes.set_wanted(SESSION, 5))
    agent.wait(lambda: sum(lane._worked for lane in agent.agent.session.idle) == 5)

    assert agent.agent.reports == [None]


def test_a_lost_lane_is_dialed_again(agent: Relay) -> None:
    dial(agent, agent.edge.acceptor.address)
    agent.wait(lambda: len(agent.edge.session.idle) == 1)
    agent.wait(lambda: agent.agent.lane._worked)
    agent.calls.call(agent.edge.session.idle[0].retire)

    agent.wait(
        lambda: sum(agent.agent.lanes.admitted.values()) == 2 and len(agent.edge.session.idle) == 1
    )


def read_ping(peer: LanePeer) -> bytes:
    return receive(peer.sock, 12)


def test_an_idle_lane_is_pinged_and_one_whose_edge_does_not_answer_is_replaced(
    agent: Relay,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        dial(agent, server.getsockname())
        peer = accept_lane(server)
        ping = read_ping(peer)
        peer.sock.sendall(lanes.encode_head(FrameType.PONG, 0, 8) + ping[4:])
        agent.wait(lambda: agent.agent.lane._worked)
        agent.pass_time(31)
        assert read_ping(peer)[0] >> 4 == FrameType.PING
        agent.pass_time(9)
        assert len(agent.agent.session.idle) == 1
        agent.pass_time(2)

        again = accept_lane(server)
    with peer.sock, again.sock:
        assert peer.is_closed()
        agent.wait(lambda: agent.agent.lanes.lost == {Code.SESSION_LOST: 1})


def test_an_agent_without_descriptors_tries_again_later(
    agent: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(24, "too many open files")

    with monkeypatch.context() as patch:
        patch.setattr("towonel.relay.admission.dial.socket.socket", refuse)
        agent.calls.call(lambda: agent.agent.lanes.add_session(agent.target, 1))
    assert agent.agent.lanes.failed == {Code.LIMIT_EXCEEDED: 1}
    agent.pass_time(2)

    agent.wait(lambda: len(agent.edge.session.idle) == 1)
