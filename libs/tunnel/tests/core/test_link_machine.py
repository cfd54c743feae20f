"""Dialogues with the agent's end of a session, at times that the test chooses."""

import pytest
from support.tunnel import EDGE, IDENTITY, SERVICE, grant_of, new_key

from towonel.tunnel.core.close_reason import CloseReason
from towonel.tunnel.core.events import (
    Close,
    CloseRequested,
    Command,
    ConnectionClosed,
    GoAwayRequested,
    HandshakeCompleted,
    HintsRequested,
    MessageReceived,
    RenewRequested,
    ReportEdgesChanged,
    ReportEnded,
    ReportGoingAway,
    ReportLanesWanted,
    ReportOpened,
    ReportRefused,
    ReportSecret,
    Send,
    ServicesRequested,
)
from towonel.tunnel.core.handshake import AgentHandshake
from towonel.tunnel.core.link_machine import LinkMachine
from towonel.tunnel.core.machine import State
from towonel.wire.errors import Code
from towonel.wire.messages import (
    Challenge,
    DatagramSecret,
    EdgesChanged,
    GoAway,
    LanesWanted,
    Message,
    Renew,
    ServicesChanged,
    Welcome,
)
from towonel.wire.session.balance_hints import Hints

CHALLENGE = Challenge((1,), b"n" * 32, EDGE.public)
WELCOME = Welcome(b"s" * 16)


class Dialogue:
    """An agent's end that dialled at 100 s."""

    def __init__(self) -> None:
        key = new_key()
        self.handshake = AgentHandshake(key, grant_of(key), [SERVICE], "test")
        self.machine = LinkMachine(IDENTITY, self.handshake, now=100)

    def hear(self, message: Message, now: float) -> list[Command]:
        return self.machine.handle(MessageReceived(message), now)

    def answer(self) -> "Dialogue":
        assert self.machine.handle(HandshakeCompleted(), 100.5) == []
        hello = self.handshake.answer(CHALLENGE, IDENTITY)
        assert self.hear(CHALLENGE, 101) == [Send(hello)]
        return self

    def open(self) -> "Dialogue":
        self.answer()
        assert self.hear(WELCOME, 102) == [ReportOpened()]
        return self


def refused(code: Code, detail: str = "") -> list[Command]:
    return [Close(CloseReason(code, detail)), ReportRefused(CloseReason(code, detail))]


def ended(code: Code, detail: str = "") -> list[Command]:
    return [Close(CloseReason(code, detail)), ReportEnded(CloseReason(code, detail))]


def test_a_link_opens_with_the_welcome_and_has_no_deadline_then() -> None:
    machine = Dialogue().machine
    assert (machine.state, machine.deadline) == (State.CONNECTING, 105)
    machine = Dialogue().answer().machine
    assert (machine.state, machine.deadline) == (State.AUTHENTICATING, 105)
    machine = Dialogue().open().machine

    assert (machine.state, machine.deadline) == (State.OPEN, None)
    assert machine.session_id == WELCOME.session_id
    assert machine.tick(10**6) == []


def test_an_edge_is_told_what_is_served_from_now_on_once_the_link_is_open() -> None:
    request, answered, dialogue = (
        ServicesRequested((SERVICE,)),
        Dialogue().answer(),
        Dialogue().open(),
    )

    assert answered.machine.handle(request, 102) == []
    assert dialogue.machine.handle(request, 103) == [Send(ServicesChanged((SERVICE,)))]
    dialogue.hear(GoAway(), 104)
    assert dialogue.machine.handle(request, 105) == [Send(ServicesChanged((SERVICE,)))]


def test_an_edge_is_told_other_hints_once_the_link_is_open() -> None:
    request, answered, dialogue = HintsRequested(Hints(7)), Dialogue().answer(), Dialogue().open()

    assert answered.machine.handle(request, 102) == []
    assert dialogue.machine.handle(request, 103) == [Send(Hints(7))]
    dialogue.hear(GoAway(), 104)
    assert dialogue.machine.handle(request, 105) == [Send(Hints(7))]


@pytest.mark.parametrize("has_answered", [False, True])
def test_an_edge_without_a_welcome_is_given_up_at_the_deadline(has_answered: bool) -> None:
    dialogue = Dialogue()
    if has_answered:
        dialogue.answer()
    lost = CloseReason(Code.SESSION_LOST, "no answer within 5 s: is UDP blocked?")

    assert dialogue.machine.tick(104.9) == []
    assert dialogue.machine.tick(105) == [Close(CloseReason(Code.NORMAL)), ReportRefused(lost)]
    assert (dialogue.machine.state, dialogue.machine.deadline) == (State.CLOSED, None)


def test_the_challenge_of_another_edge_is_refused() -> None:
    dialogue = Dialogue()
    [close, report] = dialogue.hear(Challenge((1,), bytes(32), bytes(32)), 101)

    assert isinstance(close, Close)
    assert close.reason.code is Code.EDGE_UNKNOWN
    assert report == ReportRefused(close.reason)


def test_streams_may_overtake_the_welcome_but_not_the_challenge() -> None:
    going_away, closed = Dialogue().open(), Dialogue().open()
    going_away.hear(GoAway(), 103)
    closed.machine.handle(ConnectionClosed(CloseReason(Code.NORMAL)), 104)

    assert not Dialogue().machine.takes_streams
    assert Dialogue().answer().machine.takes_streams
    assert Dialogue().open().machine.takes_streams
    assert going_away.machine.takes_streams
    assert not closed.machine.takes_streams


def test_the_edges_go_away_is_reported() -> None:
    dialogue = Dialogue().open()

    assert dialogue.hear(GoAway(), 103) == [ReportGoingAway()]
    assert dialogue.machine.state is State.GOING_AWAY
    assert dialogue.hear(GoAway(), 104) == [ReportGoingAway()]


def test_lanes_are_those_of_the_welcome_and_as_many_as_the_edge_wants() -> None:
    without, dialogue = Dialogue().open(), Dialogue().answer()
    dialogue.hear(Welcome(b"s" * 16, b"l" * 32), 102)

    assert without.machine.lane_secret is None
    assert dialogue.machine.lane_secret == b"l" * 32
    assert dialogue.hear(LanesWanted(7), 103) == [ReportLanesWanted(7)]
    assert dialogue.hear(LanesWanted(100_000), 104) == [ReportLanesWanted(65_536)]


def test_a_secret_of_sealed_packets_is_taken_on_an_open_link() -> None:
    dialogue = Dialogue().open()

    assert dialogue.hear(DatagramSecret(7, b"s" * 32), 103) == [ReportSecret(7, b"s" * 32)]


def test_a_notice_of_other_edges_is_taken_on_an_open_link() -> None:
    dialogue = Dialogue().open()

    assert dialogue.hear(EdgesChanged(500), 103) == [ReportEdgesChanged(500)]


@pytest.mark.parametrize("is_going_away", [False, True])
def test_an_open_link_asks_for_no_more_streams_and_shows_newer_grants(is_going_away: bool) -> None:
    dialogue = Dialogue().open()
    if is_going_away:
        dialogue.hear(GoAway(), 103)
    state = dialogue.machine.state

    assert dialogue.machine.handle(RenewRequested(b"grant"), 104) == [Send(Renew(b"grant"))]
    assert dialogue.machine.handle(GoAwayRequested(), 105) == [Send(GoAway())]
    assert dialogue.machine.state is state


def test_a_link_that_is_not_open_sends_nothing_but_its_hello() -> None:
    for dialogue in (Dialogue(), Dialogue().answer()):
        assert dialogue.machine.handle(RenewRequested(b"grant"), 102) == []
        assert dialogue.machine.handle(GoAwayRequested(), 102) == []


def test_a_message_that_has_no_place_in_the_state_closes() -> None:
    early, answered, open_ = Dialogue(), Dialogue().answer(), Dialogue().open()

    assert early.hear(WELCOME, 101) == refused(Code.UNEXPECTED_MESSAGE, "Welcome")
    assert answered.hear(CHALLENGE, 102) == refused(Code.UNEXPECTED_MESSAGE, "Challenge")
    assert open_.hear(WELCOME, 103) == ended(Code.UNEXPECTED_MESSAGE, "Welcome")
    answered = Dialogue().answer()
    assert answered.hear(GoAway(), 102) == refused(Code.UNEXPECTED_MESSAGE, "GoAway")
    going = Dialogue().open()
    going.hear(GoAway(), 103)
    assert going.hear(LanesWanted(1), 104) == ended(Code.UNEXPECTED_MESSAGE, "LanesWanted")


def test_a_close_is_reported_as_a_refusal_before_the_welcome_and_as_an_end_after() -> None:
    lost = CloseReason(Code.TENANT_REVOKED)
    events = ConnectionClosed(lost), CloseRequested(lost)

    early = [Dialogue().answer().machine.handle(event, 102) for event in events]
    late = [Dialogue().open().machine.handle(event, 103) for event in events]
    assert early == [[ReportRefused(lost)], refused(Code.TENANT_REVOKED)]
    assert late == [[ReportEnded(lost)], ended(Code.TENANT_REVOKED)]
