"""Dialogues with the edge's end of a session, at times that the test chooses."""

from dataclasses import replace
from typing import Any

import pytest
from support.tunnel import EDGE, HUB, IDENTITY, SERVICE, TENANT, RecordingPolicy, new_key

from towonel.identity.grants import Grant, issue
from towonel.identity.keys import NodeKey
from towonel.tunnel.core.close_reason import CloseReason
from towonel.tunnel.core.events import (
    Close,
    CloseRequested,
    Command,
    ConnectionClosed,
    EdgesRequested,
    GoAwayRequested,
    HandshakeCompleted,
    LanesRequested,
    MessageReceived,
    RenewRequested,
    ReportEnded,
    ReportGoingAway,
    ReportOpened,
    ReportRefused,
    ReportServicesChanged,
    SecretRequested,
    Send,
)
from towonel.tunnel.core.handshake import AgentHandshake, EdgeHandshake
from towonel.tunnel.core.machine import State
from towonel.tunnel.core.session_machine import SessionMachine
from towonel.wire.errors import Code
from towonel.wire.ids import AgentId, TenantId
from towonel.wire.messages import (
    Challenge,
    DatagramSecret,
    EdgesChanged,
    GoAway,
    Hello,
    LanesWanted,
    Message,
    Renew,
    ServicesChanged,
    Welcome,
)
from towonel.wire.names import ServiceKey, ServiceKind
from towonel.wire.session.balance_hints import NO_HINTS, BalanceHints, Hints, pack

NONCE, SESSION_ID, LANE_SECRET = b"n" * 32, b"s" * 16, b"l" * 32
GRANT_S, UNIX_MS = 60, 1_800_000_000_000
CHALLENGE = Challenge((1,), NONCE, EDGE.public)
WELCOME = Welcome(SESSION_ID, LANE_SECRET)


class Dialogue:
    """An edge's end that began at 100 s, and an agent whose grant lasts 60 s from 101 s."""

    def __init__(self) -> None:
        self.policy = RecordingPolicy()
        self.agent = new_key()
        handshake = EdgeHandshake(
            IDENTITY,
            self.policy.hub_ids,
            self.policy.refuse,
            self.policy.refuse_more,
            lambda: False,
        )
        self.machine = SessionMachine(
            handshake, nonce=NONCE, session_id=SESSION_ID, lane_secret=LANE_SECRET, now=100
        )

    def grant(
        self,
        *,
        key: NodeKey | None = None,
        tenant: TenantId = TENANT,
        group: str = "g",
        lives_s: int = GRANT_S,
    ) -> bytes:
        agent_id = AgentId((key or self.agent).public)
        return issue(HUB, Grant(agent_id, tenant, group, UNIX_MS, UNIX_MS + lives_s * 1000))

    def hello(self, grant: bytes | None = None) -> Hello:
        handshake = AgentHandshake(self.agent, grant or self.grant(), [SERVICE], "test")
        return handshake.answer(CHALLENGE, IDENTITY)

    def hear(self, message: Message, now: float) -> list[Command]:
        return self.machine.handle(MessageReceived(message, UNIX_MS), now)

    def challenge(self) -> "Dialogue":
        assert self.machine.handle(HandshakeCompleted(), 100.5) == [Send(CHALLENGE)]
        return self

    def open(self) -> "Dialogue":
        self.challenge()
        assert self.hear(self.hello(), 101) == [Send(WELCOME), ReportOpened()]
        return self


def refused(code: Code, detail: str = "") -> list[Command]:
    return [Close(CloseReason(code, detail)), ReportRefused(CloseReason(code, detail))]


def ended(code: Code, detail: str = "") -> list[Command]:
    return [Close(CloseReason(code, detail)), ReportEnded(CloseReason(code, detail))]


def test_an_agent_that_answers_the_challenge_is_admitted_until_its_grant_ends() -> None:
    dialogue = Dialogue()
    machine = dialogue.machine
    assert (machine.state, machine.deadline) == (State.CONNECTING, 105)
    dialogue.challenge()
    assert (machine.state, machine.deadline) == (State.AUTHENTICATING, 105)
    dialogue.hear(dialogue.hello(), 101)

    assert machine.state is State.OPEN
    assert machine.deadline == 101 + GRANT_S
    assert machine.agent.grant.agent_id == dialogue.agent.public
    assert machine.agent.services == {SERVICE}
    assert (machine.agent.software, machine.agent.since_ms) == ("test", UNIX_MS)


@pytest.mark.parametrize("is_challenged", [False, True])
def test_an_agent_that_never_says_hello_is_closed_at_the_deadline(is_challenged: bool) -> None:
    dialogue = Dialogue()
    if is_challenged:
        dialogue.challenge()

    assert dialogue.machine.tick(104.9) == []
    assert dialogue.machine.tick(105) == refused(Code.HELLO_TIMEOUT, "no Hello within 5 s")
    assert (dialogue.machine.state, dialogue.machine.deadline) == (State.CLOSED, None)


def test_an_agent_is_told_how_many_lanes_there_should_be_while_clients_come() -> None:
    challenged, dialogue = Dialogue().challenge(), Dialogue().open()

    assert challenged.machine.handle(LanesRequested(4), 102) == []
    assert dialogue.machine.handle(LanesRequested(4), 102) == [Send(LanesWanted(4))]
    dialogue.hear(GoAway(), 103)
    assert dialogue.machine.handle(LanesRequested(5), 104) == []


def test_an_agent_gets_secrets_of_sealed_packets_while_clients_come() -> None:
    challenged, dialogue = Dialogue().challenge(), Dialogue().open()

    assert challenged.machine.handle(SecretRequested(7, b"s" * 32), 102) == []
    assert dialogue.machine.handle(SecretRequested(7, b"s" * 32), 102) == [
        Send(DatagramSecret(7, b"s" * 32))
    ]
    dialogue.hear(GoAway(), 103)
    assert dialogue.machine.handle(SecretRequested(8, b"s" * 32), 104) == []


def test_an_agent_is_told_of_other_edges_while_clients_come() -> None:
    challenged, dialogue = Dialogue().challenge(), Dialogue().open()

    assert challenged.machine.handle(EdgesRequested(500), 102) == []
    assert dialogue.machine.handle(EdgesRequested(500), 102) == [Send(EdgesChanged(500))]
    dialogue.hear(GoAway(), 103)
    assert dialogue.machine.handle(EdgesRequested(500), 104) == []


def test_an_agent_changes_what_it_serves_also_while_it_goes_away() -> None:
    dialogue, other = Dialogue().open(), ServiceKey(ServiceKind.HTTPS, "other.eu")

    assert dialogue.hear(ServicesChanged((other,)), 102) == [
        ReportServicesChanged(frozenset({SERVICE}), NO_HINTS)
    ]
    assert dialogue.machine.agent.services == {other}
    dialogue.hear(GoAway(), 103)
    assert dialogue.hear(ServicesChanged(()), 104) == [
        ReportServicesChanged(frozenset({other}), NO_HINTS)
    ]
    assert (dialogue.machine.state, dialogue.machine.agent.services) == (
        State.GOING_AWAY,
        frozenset(),
    )


def test_an_agent_has_hints_for_load_balancers_from_its_hello_on() -> None:
    dialogue = Dialogue().challenge()
    hints = BalanceHints(0, frozenset({SERVICE}))
    hello = replace(dialogue.hello(), hints=pack(hints, [SERVICE]))

    assert dialogue.hear(hello, 101) == [Send(WELCOME), ReportOpened()]
    assert dialogue.machine.agent.hints == hints


def test_an_agent_changes_its_hints_also_while_it_goes_away() -> None:
    dialogue, failing = Dialogue().open(), Hints(7, b"\x01")

    assert dialogue.hear(failing, 102) == [ReportServicesChanged(frozenset({SERVICE}), NO_HINTS)]
    assert dialogue.hear(failing, 103) == []
    dialogue.hear(GoAway(), 104)
    assert dialogue.hear(Hints(7), 105) == [
        ReportServicesChanged(frozenset({SERVICE}), BalanceHints(7, frozenset({SERVICE})))
    ]
    assert dialogue.machine.agent.hints == BalanceHints(7)
    assert dialogue.machine.state is State.GOING_AWAY


def test_hints_that_change_without_end_end_the_session() -> None:
    dialogue = Dialogue().open()
    services = tuple(ServiceKey(ServiceKind.TCP, f"s{number}") for number in range(999))
    dialogue.hear(ServicesChanged(services), 102)
    flips = [Hints(failing=b"\xff" * 125), Hints()] * 10

    assert all(len(dialogue.hear(each, 102)) == 1 for each in flips)
    assert dialogue.hear(flips[1], 102) == []  # nothing new costs nothing
    assert len(dialogue.hear(flips[0], 104)) == 1
    assert dialogue.hear(flips[1], 104) == ended(
        Code.RATE_LIMITED, "hints about ever other services"
    )


def test_hints_about_services_that_are_served_no_more_are_forgotten() -> None:
    dialogue = Dialogue().open()
    dialogue.hear(Hints(7, b"\x01", b"\x01"), 102)
    dialogue.hear(ServicesChanged(()), 103)

    assert dialogue.machine.agent.hints == BalanceHints(7)


def test_services_that_the_edge_does_not_take_end_the_session() -> None:
    dialogue = Dialogue().open()
    dialogue.policy.refuses_more = Code.QUOTA_EXCEEDED

    assert dialogue.hear(ServicesChanged((SERVICE,)), 102) == ended(Code.QUOTA_EXCEEDED)


def test_an_agent_that_was_not_admitted_changes_nothing() -> None:
    dialogue = Dialogue().challenge()

    assert dialogue.hear(ServicesChanged(()), 101) == refused(
        Code.UNEXPECTED_MESSAGE, "ServicesChanged"
    )


def test_a_hello_that_does_not_hold_is_refused_with_its_code() -> None:
    dialogue = Dialogue().challenge()
    commands = dialogue.hear(dialogue.hello(dialogue.grant(key=new_key())), 101)

    assert [type(command) for command in commands] == [Close, ReportRefused]
    assert commands[0].reason.code is Code.INVALID_SIGNATURE  # type: ignore[union-attr]
    assert dialogue.machine.state is State.CLOSED


def test_a_grant_that_ends_ends_the_session() -> None:
    machine = Dialogue().open().machine

    assert machine.tick(101 + GRANT_S - 0.1) == []
    assert machine.tick(101 + GRANT_S) == ended(Code.GRANT_EXPIRED)


def test_a_session_that_goes_away_ends_with_its_grant_too() -> None:
    dialogue = Dialogue().open()
    dialogue.hear(GoAway(), 102)

    assert dialogue.machine.tick(101 + GRANT_S) == ended(Code.GRANT_EXPIRED)


@pytest.mark.parametrize("is_going_away", [False, True])
def test_a_newer_grant_moves_the_deadline(is_going_away: bool) -> None:
    dialogue = Dialogue().open()
    if is_going_away:
        dialogue.hear(GoAway(), 105)
    state = dialogue.machine.state
    newer = dialogue.grant(lives_s=600)
    assert dialogue.hear(Renew(newer), 110) == []

    assert dialogue.machine.tick(101 + GRANT_S) == []
    assert dialogue.machine.deadline == 710
    assert dialogue.machine.agent.grant.not_after_ms == UNIX_MS + 600_000
    assert dialogue.machine.agent.since_ms == UNIX_MS
    assert dialogue.machine.state is state


@pytest.mark.parametrize(
    "change", [{"key": new_key()}, {"tenant": TenantId(bytes(32))}, {"group": "h"}]
)
def test_a_grant_of_another_agent_tenant_or_group_ends_the_session(change: dict[str, Any]) -> None:
    dialogue = Dialogue().open()
    [close, report] = dialogue.hear(Renew(dialogue.grant(**change)), 110)

    assert isinstance(close, Close)
    assert close.reason.code is Code.GRANT_FOREIGN
    assert report == ReportEnded(close.reason)


def test_after_either_ends_go_away_the_session_goes_away_once() -> None:
    ours, theirs = Dialogue().open(), Dialogue().open()

    assert ours.machine.handle(GoAwayRequested(), 102) == [Send(GoAway())]
    assert ours.machine.handle(GoAwayRequested(), 103) == []
    assert ours.hear(GoAway(), 104) == [ReportGoingAway()]
    assert theirs.hear(GoAway(), 102) == [ReportGoingAway()]
    assert theirs.machine.handle(GoAwayRequested(), 103) == []
    assert ours.machine.state is theirs.machine.state is State.GOING_AWAY


def test_an_agent_that_is_not_admitted_is_not_asked_to_go_away() -> None:
    dialogue = Dialogue().challenge()

    assert dialogue.machine.handle(GoAwayRequested(), 102) == []
    assert dialogue.hear(dialogue.hello(), 103) == [Send(WELCOME), ReportOpened()]


def test_a_message_that_has_no_place_in_the_state_closes() -> None:
    early, again, challenged = Dialogue(), Dialogue().open(), Dialogue().challenge()

    assert early.hear(early.hello(), 101) == refused(Code.UNEXPECTED_MESSAGE, "Hello")
    assert again.hear(again.hello(), 102) == ended(Code.UNEXPECTED_MESSAGE, "Hello")
    assert challenged.hear(GoAway(), 101) == refused(Code.UNEXPECTED_MESSAGE, "GoAway")
    open_ = Dialogue().open()
    assert open_.hear(CHALLENGE, 102) == ended(Code.UNEXPECTED_MESSAGE, "Challenge")


def test_a_request_that_only_an_agent_makes_is_ignored() -> None:
    machine = Dialogue().open().machine

    assert machine.handle(RenewRequested(b"grant"), 102) == []
    assert machine.state is State.OPEN


def test_streams_are_taken_from_the_admission_to_the_close() -> None:
    going_away, closed = Dialogue().open(), Dialogue().open()
    going_away.hear(GoAway(), 102)
    closed.machine.handle(ConnectionClosed(CloseReason(Code.NORMAL)), 103)

    assert not Dialogue().machine.takes_streams
    assert not Dialogue().challenge().machine.takes_streams
    assert Dialogue().open().machine.takes_streams
    assert going_away.machine.takes_streams
    assert not closed.machine.takes_streams


def test_a_close_is_reported_as_a_refusal_before_the_admission_and_as_an_end_after() -> None:
    lost = CloseReason(Code.SESSION_LOST, "idle")
    revoked = CloseReason(Code.TENANT_REVOKED)
    events = ConnectionClosed(lost), CloseRequested(revoked)

    early = [Dialogue().challenge().machine.handle(event, 101) for event in events]
    late = [Dialogue().open().machine.handle(event, 102) for event in events]
    assert early == [[ReportRefused(lost)], refused(Code.TENANT_REVOKED)]
    assert late == [[ReportEnded(lost)], ended(Code.TENANT_REVOKED)]


def test_a_closed_session_ignores_whatever_comes() -> None:
    dialogue = Dialogue().open()
    closed = ConnectionClosed(CloseReason(Code.NORMAL))
    dialogue.machine.handle(closed, 102)

    assert dialogue.machine.handle(closed, 103) == []
    assert dialogue.machine.handle(CloseRequested(CloseReason(Code.DRAINING)), 103) == []
    assert dialogue.hear(GoAway(), 103) == []
    assert dialogue.machine.tick(10**6) == []


def test_a_second_renewal_within_ten_seconds_ends_the_session() -> None:
    dialogue = Dialogue().open()
    newer = Renew(dialogue.grant(lives_s=600))
    assert dialogue.hear(newer, 102) == []
    assert dialogue.hear(newer, 112) == []

    detail = "two renewals within 10 s"
    assert dialogue.hear(newer, 121.9) == ended(Code.RATE_LIMITED, detail)


def test_an_agent_above_a_limit_on_sessions_is_refused_but_its_renewals_are_not() -> None:
    dialogue, admitted = Dialogue().challenge(), Dialogue().open()
    dialogue.policy.refuses_more = admitted.policy.refuses_more = Code.LIMIT_EXCEEDED
    [close, _] = dialogue.hear(dialogue.hello(), 101)

    assert isinstance(close, Close)
    assert close.reason.code is Code.LIMIT_EXCEEDED
    assert admitted.hear(Renew(admitted.grant(lives_s=600)), 102) == []


def test_a_session_holds_the_services_that_it_shares_through_its_renewals() -> None:
    dialogue = Dialogue().open()
    shared = frozenset([SERVICE])

    dialogue.machine.share_services(shared)
    dialogue.hear(Renew(dialogue.grant(lives_s=2 * GRANT_S)), 120)

    assert dialogue.machine.agent.services is shared
    assert dialogue.machine.agent.grant.not_after_ms == UNIX_MS + 2 * GRANT_S * 1000
