"""State machine of a lane's ends: every interleaving of two of them agrees."""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from towonel.relay.core.lane_state import LaneState, Received
from towonel.wire.errors import Code, ProtocolError
from towonel.wire.lanes import USE_BITS, FrameType

USES = 3
DATA_EACH = 1

# All that there is, by name: a state that is compiled has no `__dict__`.
STATE = ("_is_edge", "use", "accepted", "may_send", "_sent", "_received", "_late_reset")


def state_of(state: LaneState) -> tuple[object, ...]:
    return tuple(getattr(state, name) for name in STATE)


def test_the_state_of_a_lane_is_what_the_checker_compares() -> None:
    state = LaneState(is_edge=True)

    assert set(getattr(state, "__dict__", STATE)) == set(STATE)


type Frame = tuple[FrameType, int]  # and the number of its use, whole, of which the low bits travel


@dataclass
class End:
    """One end, the frames on their way to it, and the data it took of its current use."""

    state: LaneState
    inbox: deque[Frame] = field(default_factory=deque[Frame])
    data_sent: int = 0

    def key(self) -> tuple[object, ...]:
        return (*state_of(self.state), tuple(self.inbox), self.data_sent)

    def copy(self) -> "End":
        state = LaneState(is_edge=True)
        for name, value in zip(STATE, state_of(self.state), strict=True):
            setattr(state, name, value)
        return End(state, self.inbox.copy(), self.data_sent)


@dataclass
class Lane:
    """Both ends of a lane, and what may happen to them next."""

    edge: End = field(default_factory=lambda: End(LaneState(is_edge=True)))
    agent: End = field(default_factory=lambda: End(LaneState(is_edge=False)))

    def key(self) -> tuple[object, ...]:
        return self.edge.key() + self.agent.key()

    def successors(self) -> Iterator["Lane"]:
        for name in ("edge", "agent"):
            own: End = getattr(self, name)
            for step in ("deliver", *sendable(own, is_edge=name == "edge")):
                if step == "deliver" and not own.inbox:
                    continue
                after = Lane(self.edge.copy(), self.agent.copy())
                own, peer = (
                    (after.edge, after.agent) if name == "edge" else (after.agent, after.edge)
                )
                deliver(own) if step == "deliver" else send(own, peer, step)
                yield after


def sendable(end: End, *, is_edge: bool) -> Iterator[str]:
    """Yield the frames that this end may send now."""
    state = end.state
    if state.idle:
        if is_edge and state.use < USES:
            yield "OPEN"
        return
    if not is_edge and not state.accepted and state.may_reset:
        yield from ("ACCEPT", "REJECT")
    if state.may_send:
        yield "END"
        if end.data_sent < DATA_EACH:
            yield "DATA"
    if state.may_reset:
        yield "RESET"


def send(own: End, peer: End, step: str) -> None:
    match step:
        case "OPEN":
            own.state.open()
            own.data_sent = 0
        case "ACCEPT":
            own.state.accept()
        case "REJECT":
            own.state.reject()
        case "END":
            own.state.end()
        case "RESET":
            own.state.reset()
        case _:
            own.data_sent += 1
    peer.inbox.append((FrameType[step], own.state.use))


def deliver(end: End) -> None:
    kind, use = end.inbox.popleft()
    what = end.state.receive(kind, use & USE_BITS)
    if what is Received.OPENED:
        end.data_sent = 0
    assert (use == end.state.use) or what is Received.DROPPED, "a frame reached another use"


def explore() -> dict[tuple[object, ...], list[tuple[object, ...]]]:
    """Return every state of a lane that can be reached, with its successors."""
    first = Lane()
    graph: dict[tuple[object, ...], list[tuple[object, ...]]] = {}
    waiting = [first]
    while waiting:
        lane = waiting.pop()
        if lane.key() in graph:
            continue
        following = list(lane.successors())
        graph[lane.key()] = [after.key() for after in following]
        waiting.extend(following)
    return graph


GRAPH = explore()  # raises where a frame is out of place, or reaches another use


def test_every_interleaving_of_two_ends_can_come_to_rest_and_both_agree_that_it_did() -> None:
    stuck = [key for key, following in GRAPH.items() if not following]

    assert len(GRAPH) > 1000
    assert len(stuck) > 1
    for key in stuck:
        edge_idle, agent_idle = key[:2], key[len(key) // 2 :][:2]
        assert (edge_idle, agent_idle) == ((True, USES), (False, USES)), key


def test_from_wherever_a_lane_is_it_can_come_to_rest() -> None:
    """The set of states that lead to rest grows backwards until it is all of them."""
    resting = {key for key, following in GRAPH.items() if not following}
    while len(grown := resting | leading_to(resting)) > len(resting):
        resting = grown

    assert resting == set(GRAPH)


def leading_to(states: set[tuple[object, ...]]) -> set[tuple[object, ...]]:
    return {key for key, following in GRAPH.items() if not states.isdisjoint(following)}


def opened(*, is_edge: bool, uses: int = 1, last: FrameType = FrameType.END) -> LaneState:
    """An end in its `uses`-th use, the ones before ended by `last` of the peer and RESET of ours."""
    state = LaneState(is_edge=is_edge)
    for use in range(1, uses + 1):
        begin(state, use)
        if use < uses:
            finish(state, use, last)
    return state


def begin(state: LaneState, use: int) -> None:
    if state._is_edge:
        state.open()
    else:
        state.receive(FrameType.OPEN, use & USE_BITS)


def finish(state: LaneState, use: int, last: FrameType) -> None:
    if state._is_edge:
        state.receive(FrameType.ACCEPT, use & USE_BITS)
    else:
        state.accept()
    state.end()
    state.receive(last, use & USE_BITS)


A, E = False, True
OUT_OF_PLACE = {
    "OPEN at the edge": (E, 1, "OPEN", 2),
    "OPEN during a use": (A, 1, "OPEN", 2),
    "ACCEPT at the agent": (A, 1, "ACCEPT", 1),
    "REJECT at the agent": (A, 1, "REJECT", 1),
    "DATA before ACCEPT": (E, 1, "DATA", 1),
    "END before ACCEPT": (E, 1, "END", 1),
    "DATA of another use": (A, 2, "DATA", 1),
    "RESET of the use before, at the agent": (A, 2, "RESET", 1),
    "RESET of a use to come": (E, 2, "RESET", 3),
    "RESET of an older use": (E, 3, "RESET", 1),
    "RESET before the first use": (E, 1, "RESET", 0),
}


@pytest.mark.parametrize(
    ("is_edge", "uses", "kind", "use"), OUT_OF_PLACE.values(), ids=OUT_OF_PLACE
)
def test_a_frame_out_of_place_is_refused(is_edge: bool, uses: int, kind: str, use: int) -> None:
    state = opened(is_edge=is_edge, uses=uses)

    with pytest.raises(ProtocolError) as refused:
        state.receive(FrameType[kind], use)

    assert refused.value.code is Code.UNEXPECTED_MESSAGE


def test_uses_are_opened_in_order_and_their_low_bits_begin_again_after_the_fifteenth() -> None:
    state = opened(is_edge=False, uses=17)
    finish(state, 17, FrameType.END)

    with pytest.raises(ProtocolError):
        state.receive(FrameType.OPEN, 3)
    assert state.receive(FrameType.OPEN, 2) is Received.OPENED
    assert state.use == 18


def test_a_late_reset_is_dropped_once_and_only_before_the_agents_first_frame() -> None:
    state = opened(is_edge=True, uses=2)
    again = opened(is_edge=True, uses=2)
    again.receive(FrameType.ACCEPT, 2)

    assert state.receive(FrameType.RESET, 1) is Received.DROPPED
    for late in (state, again):
        with pytest.raises(ProtocolError):
            late.receive(FrameType.RESET, 1)


def test_no_reset_is_late_after_a_reset() -> None:
    state = opened(is_edge=True, uses=2, last=FrameType.RESET)

    with pytest.raises(ProtocolError):
        state.receive(FrameType.RESET, 1)


def test_a_reset_after_end_reaches_the_end_that_still_sends() -> None:
    state = opened(is_edge=True)
    state.receive(FrameType.ACCEPT, 1)
    state.receive(FrameType.END, 1)

    assert state.receive(FrameType.RESET, 1) is Received.RESET
    assert state.owes_last
    state.reset()
    assert state.idle


def test_pings_stand_anywhere() -> None:
    state = LaneState(is_edge=True)

    assert state.receive(FrameType.PING, 0) is Received.PING
    assert state.receive(FrameType.PONG, 0) is Received.PONG
    assert state.idle


def test_a_side_has_sent_its_last_frame_from_end_on_until_the_next_use() -> None:
    state = opened(is_edge=True)
    seen = [state.sent_last]
    state.receive(FrameType.ACCEPT, 1)
    state.end()
    seen.append(state.sent_last)
    state.receive(FrameType.END, 1)
    state.open()
    seen.append(state.sent_last)

    assert seen == [False, True, False]
