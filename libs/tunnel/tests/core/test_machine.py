"""Properties of both ends of a session, under any sequence of events."""

from collections.abc import Callable, Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.tunnel import EDGE, IDENTITY, SERVICE, RecordingPolicy, grant_of, new_key, now_ms

from towonel.tunnel.core.close_reason import CloseReason
from towonel.tunnel.core.events import (
    Close,
    CloseRequested,
    Command,
    ConnectionClosed,
    Event,
    GoAwayRequested,
    HandshakeCompleted,
    LanesRequested,
    MessageReceived,
    RenewRequested,
    ReportEnded,
    ReportGoingAway,
    ReportOpened,
    ReportRefused,
    TimedOut,
)
from towonel.tunnel.core.handshake import AgentHandshake, EdgeHandshake
from towonel.tunnel.core.link_machine import LinkMachine
from towonel.tunnel.core.machine import Machine, State
from towonel.tunnel.core.session_machine import SessionMachine
from towonel.wire.errors import Code
from towonel.wire.messages import (
    Abandoned,
    Challenge,
    GoAway,
    LanesWanted,
    Message,
    Renew,
    Welcome,
    Window,
)

NONCE = b"n" * 32
AGENT, UNIX_MS = new_key(), now_ms()
AGENT_HANDSHAKE = AgentHandshake(AGENT, grant_of(AGENT), [SERVICE], "test")
CHALLENGE = Challenge((1,), NONCE, EDGE.public)
HELLO = AGENT_HANDSHAKE.answer(CHALLENGE, IDENTITY)
MESSAGES: tuple[Message, ...] = (
    CHALLENGE,
    Challenge((9,), NONCE, EDGE.public),
    HELLO,
    AGENT_HANDSHAKE.answer(Challenge((1,), b"m" * 32, EDGE.public), IDENTITY),
    Welcome(b"s" * 16),
    GoAway(),
    Renew(grant_of(AGENT, lives_ms=7_200_000)),
    Renew(grant_of(new_key())),
    Renew(b"junk"),
    Window(5, 1),
    Abandoned(5, 1),
    LanesWanted(9),
)
EVENTS: tuple[Event, ...] = (
    *(MessageReceived(message, UNIX_MS) for message in MESSAGES),
    HandshakeCompleted(),
    TimedOut(),
    GoAwayRequested(),
    RenewRequested(b"grant"),
    LanesRequested(9),
    CloseRequested(CloseReason(Code.DRAINING)),
    ConnectionClosed(CloseReason(Code.SESSION_LOST)),
)
# Those that lead on are tried more often: at random few sequences would get past the admission.
LIKELY: tuple[Event, ...] = (HandshakeCompleted(), *EVENTS[:1], EVENTS[2], EVENTS[4], EVENTS[5])
STEPS = st.lists(
    st.tuples(st.sampled_from(LIKELY * 3 + EVENTS), st.sampled_from([0, 0, 1, 4, 4000])),
    max_size=20,
)


def edge() -> Machine:
    policy = RecordingPolicy()
    handshake = EdgeHandshake(
        IDENTITY, policy.hub_ids, policy.refuse, policy.refuse_more, lambda: False
    )
    return SessionMachine(handshake, nonce=NONCE, session_id=b"s" * 16, now=0)


def agent() -> Machine:
    return LinkMachine(IDENTITY, AGENT_HANDSHAKE, now=0)


@pytest.mark.parametrize("make", [edge, agent])
@given(steps=STEPS)
def test_whatever_happens_a_machine_keeps_its_promises(
    make: Callable[[], Machine], steps: list[tuple[Event, float]]
) -> None:
    machine, now, reports = make(), 0.0, list[Command]()
    for event, pause_s in steps:
        now += pause_s
        before = machine.state
        commands = machine.tick(now) + machine.handle(event, now)
        reports += only_reports(commands)
        check_step(machine, before, commands)
        assert machine.deadline is None or machine.deadline > now

    check_reports(machine, reports)


def check_step(machine: Machine, before: State, commands: list[Command]) -> None:
    has_timeout = (machine.state, TimedOut) in machine.TABLE
    closes = [command for command in commands if isinstance(command, Close)]

    assert (machine.deadline is not None) == has_timeout
    assert before is not State.CLOSED or (commands == [] and machine.state is State.CLOSED)
    assert not closes or machine.state is State.CLOSED
    assert list(State).index(machine.state) >= list(State).index(before)


def only_reports(commands: Iterable[Command]) -> list[Command]:
    kinds = (ReportOpened, ReportRefused, ReportEnded)
    return [command for command in commands if isinstance(command, kinds)]


def check_reports(machine: Machine, reports: list[Command]) -> None:
    """A session is reported to open, then to end; or once to be refused."""
    kinds = [type(report) for report in reports]
    if machine.state is State.CLOSED:
        assert kinds in ([ReportRefused], [ReportOpened, ReportEnded])
    else:
        assert kinds == [ReportOpened] * machine.state.is_open


@pytest.mark.parametrize("make", [edge, agent])
def test_every_state_is_reached_and_every_transition_leaves_from_one(
    make: Callable[[], Machine],
) -> None:
    table = make().TABLE
    targets = {transition.target for transition in table.values()} | {State.CONNECTING}

    assert targets == set(State)
    assert {state for state, _ in table} == set(State) - {State.CLOSED}


def test_going_away_is_only_ever_reported_where_the_peer_asked() -> None:
    for machine in (edge(), agent()):
        machine.state = State.OPEN

        assert ReportGoingAway() not in machine.handle(GoAwayRequested(), 0)
        assert machine.handle(MessageReceived(GoAway(), UNIX_MS), 0) == [ReportGoingAway()]
