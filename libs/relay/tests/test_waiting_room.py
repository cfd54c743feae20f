"""Waiting room of a session: clients that wait for a lane, and for how long."""

from collections.abc import Iterator
from functools import partial
from typing import override

import pytest
from support.relay import SESSION, Relay

from towonel.relay.edge_lanes import EdgeLane, LaneSession
from towonel.relay.sessions.waiting_room import Wait
from towonel.wire.errors import Code

SLOW = 0.02  # of the clock's speed: time is what tests let pass, however busy the machine is


@pytest.fixture
def edge() -> Iterator[Relay]:
    relay = Relay(lanes=0)
    relay.clock.slow_down(SLOW)
    yield relay
    relay.close()


@pytest.fixture
def relay(relay: Relay) -> Relay:
    """Both ends, with a lane between them."""
    relay.clock.slow_down(SLOW)
    return relay


class Client:
    """Waiter that notes what it is told."""

    def __init__(self) -> None:
        self.wait: Wait | None = None
        self.result: list[object] = []

    def on_lane(self, session: LaneSession) -> None:
        self.result.append(session)

    def look_elsewhere(self) -> bool:
        return False

    def on_no_lane(self) -> None:
        self.result.append(None)


def wait_in(relay: Relay, *clients: Client) -> list[bool]:
    sessions = [relay.edge.session]
    return relay.calls.call(lambda: [relay.edge.lanes.wait(sessions, one) for one in clients])


def test_a_client_waits_until_a_lane_is_idle(relay: Relay) -> None:
    use = relay.open_use()
    first, second = Client(), Client()
    assert wait_in(relay, first, second) == [True, True]
    use.close()

    relay.wait(lambda: first.result == [relay.edge.session])
    assert second.result == []
    assert relay.edge.wanted[-1] > 2


def test_a_client_waits_no_longer_than_a_lane_takes(edge: Relay) -> None:
    client = Client()
    wait_in(edge, client)
    edge.pass_time(0.09)
    assert client.result == []
    edge.pass_time(0.03)

    edge.wait(lambda: client.result == [None])
    assert edge.edge.session.waits == {}
    assert edge.loop.delays.count == 0


def test_a_client_waits_as_long_again_while_those_before_it_get_lanes(relay: Relay) -> None:
    use = relay.open_use()
    first, second = Client(), Client()
    wait_in(relay, first, second)
    relay.pass_time(0.09)
    use.close()
    relay.wait(lambda: first.result == [relay.edge.session])
    relay.pass_time(0.06)
    assert second.result == []
    relay.pass_time(0.2)

    relay.wait(lambda: second.result == [None])


class Looking(Client):
    """Client that looks elsewhere, and finds something at last."""

    def __init__(self, relay: Relay, finds_at: int) -> None:
        super().__init__()
        self.looks = 0
        self._relay = relay
        self._finds_at = finds_at

    @override
    def look_elsewhere(self) -> bool:
        self.looks += 1
        if self.looks < self._finds_at:
            return False
        self._relay.edge.lanes.stop_waiting(self)
        return True


def test_a_client_looks_elsewhere_and_keeps_its_place_meanwhile(relay: Relay) -> None:
    use = relay.open_use()
    first, second = Looking(relay, 99), Client()
    sessions = [relay.edge.session]
    relay.calls.call(lambda: relay.edge.lanes.wait(sessions, first, 0.03))
    wait_in(relay, second)
    relay.pass_time(0.07)
    assert first.looks
    use.close()

    relay.wait(lambda: first.result == [relay.edge.session])
    assert second.result == []


@pytest.mark.parametrize("look_s", [0.03, 9.0], ids=["meanwhile", "at the end"])
def test_a_client_that_finds_a_lane_elsewhere_waits_no_more(edge: Relay, look_s: float) -> None:
    client = Looking(edge, 1)
    sessions = [edge.edge.session]
    edge.calls.call(lambda: edge.edge.lanes.wait(sessions, client, look_s))
    edge.pass_time(0.2)

    edge.wait(lambda: client.looks == 1)
    assert (client.result, edge.edge.session.waits) == ([], {})
    assert edge.loop.delays.count == 0


def test_a_client_waits_five_seconds_in_all(edge: Relay) -> None:
    client = Client()
    wait_in(edge, client)
    for _ in range(70):
        edge.calls.call(edge.edge.session.note_served)
        edge.pass_time(0.08)

    assert client.result == [None]


class HeldUse:
    """Use that is not answered as long as the test lasts."""

    lane: EdgeLane | None = None

    def on_accepted(self, lane: EdgeLane) -> None:
        raise AssertionError("it is not answered")

    def on_failed(self, code: Code, *, may_retry: bool) -> None:
        assert code is Code.NORMAL, "the test is over"


class Holder(Client):
    """Client that takes the lane it waited for, and keeps it."""

    def __init__(self, relay: Relay) -> None:
        super().__init__()
        self._relay = relay

    @override
    def on_lane(self, session: LaneSession) -> None:
        super().on_lane(session)
        assert session.open(b"\x00", HeldUse(), repeatable=False)


def test_a_burst_of_1000_clients_gets_1000_lanes(relay: Relay) -> None:
    """The pool has one lane, and grows with what waits."""
    relay.edge.tell_agent = partial(relay.agent.lanes.set_wanted, SESSION)
    relay.agent.origins = [Code.NORMAL] * 1001  # which do not answer
    clients = [Holder(relay) for _ in range(1000)]
    use = relay.calls.call(lambda: relay.edge.session.open(b"\x00", HeldUse(), repeatable=False))
    assert use
    assert all(wait_in(relay, *clients))

    relay.wait(lambda: len(relay.edge.session.busy) == 1001)
    assert all(client.result == [relay.edge.session] for client in clients)
    assert relay.edge.lanes.refused == relay.agent.lanes.failed == {}


def test_1024_clients_wait_for_a_session_and_the_next_is_told_at_once(edge: Relay) -> None:
    clients = [Client() for _ in range(1025)]

    assert wait_in(edge, *clients) == [True] * 1024 + [False]
    assert clients[-1].result == []


def test_a_client_that_is_gone_waits_no_more(edge: Relay) -> None:
    client = Client()
    wait_in(edge, client)
    edge.calls.call(lambda: edge.edge.lanes.stop_waiting(client))
    edge.calls.call(lambda: edge.edge.lanes.stop_waiting(client))
    edge.pass_time(2)

    assert client.result == []
    assert edge.edge.session.waits == {}


def test_a_client_waits_for_two_sessions_until_both_are_gone(edge: Relay) -> None:
    other = edge.calls.call(lambda: edge.edge.lanes.add_session(b"2" * 16, b"k" * 32, 0.001))
    client = Client()
    edge.calls.call(lambda: edge.edge.lanes.wait([edge.edge.session, other], client))
    edge.calls.call(lambda: edge.edge.lanes.go_away(SESSION))
    assert client.result == []
    edge.calls.call(lambda: edge.edge.lanes.end_session(b"2" * 16))

    assert client.result == [None]
    assert wait_in(edge, Client()) == [False]
