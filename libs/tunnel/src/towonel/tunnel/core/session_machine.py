"""State machine of a session: the edge's end, from an agent's first datagram to the close."""

from dataclasses import dataclass, replace
from typing import ClassVar

from towonel.identity.grants import Grant
from towonel.tunnel.core.bounds.token_bucket import TokenBucket
from towonel.tunnel.core.events import (
    Command,
    EdgesRequested,
    GoAwayRequested,
    HandshakeCompleted,
    LanesRequested,
    MessageReceived,
    ReportGoingAway,
    ReportOpened,
    ReportServicesChanged,
    SecretRequested,
    Send,
    TimedOut,
)
from towonel.tunnel.core.handshake import EdgeHandshake
from towonel.tunnel.core.machine import Machine, State, Table, Transition
from towonel.tunnel.core.timing import DEFAULT_TIMING, Timing
from towonel.wire.errors import Code, Denied, ProtocolError
from towonel.wire.messages import (
    DatagramSecret,
    EdgesChanged,
    GoAway,
    Hello,
    LanesWanted,
    Renew,
    ServicesChanged,
    TlsLanesWanted,
    Welcome,
)
from towonel.wire.names import ServiceKey
from towonel.wire.session.balance_hints import BalanceHints, Hints, unpack

# Services that hints mark otherwise than before, of each of which all workers hear: all 1000 that an agent may have
# come and go with one origin every two seconds.
MARKS_AT_ONCE = 20_000
MARKS_PER_S = 500


@dataclass(frozen=True, slots=True)
class AdmittedAgent:
    """Agent on an open session.

    Args:
        grant: the newest.
        services: what it serves.
        software: for our log.
        since_ms: Unix time of its admission.
        hints: for load balancers.
    """

    grant: Grant
    services: frozenset[ServiceKey]
    software: str
    since_ms: int
    hints: BalanceHints


class SessionMachine(Machine):
    """State machine of the edge's end.

    Args:
        handshake: checks the agent.
        nonce: random, for this session only.
        session_id: random.
        lane_secret: random, where the edge has lanes.
        now: when the first datagram came.
        timing: `hello_s` and `renew_s`.
    """

    def __init__(
        self,
        handshake: EdgeHandshake,
        *,
        nonce: bytes,
        session_id: bytes,
        lane_secret: bytes | None = None,
        now: float,
        timing: Timing = DEFAULT_TIMING,
    ) -> None:
        super().__init__(now + timing.hello_s)
        self._handshake = handshake
        self._nonce = nonce
        self._hello_s = timing.hello_s
        self._renew_s = timing.renew_s
        self._renewed_at: float | None = None
        self._agent: AdmittedAgent | None = None
        self._marks = TokenBucket(MARKS_PER_S, MARKS_AT_ONCE, now)
        self._welcome = Welcome(session_id, lane_secret)

    @property
    def agent(self) -> AdmittedAgent:
        """The agent; from its admission on."""
        assert self._agent is not None, "there is none before ReportOpened"
        return self._agent

    def share_services(self, services: frozenset[ServiceKey]) -> None:
        """Hold a set that equals the agent's own in its place: one that other sessions hold."""
        self._agent = replace(self.agent, services=services)

    def _challenge(self, _event: HandshakeCompleted, _now: float) -> list[Command]:
        """Send `Challenge`."""
        return [Send(self._handshake.challenge(self._nonce))]

    def _admit(self, event: MessageReceived[Hello], now: float) -> list[Command]:
        """Check version, grant and signature, send `Welcome`; the deadline is the grant's end."""
        hello, unix_ms = event.message, _time_of(event)
        grant = self._handshake.admit(hello, self._nonce, unix_ms)
        services = frozenset(hello.services)
        hints = unpack(hello.hints, services)
        self._agent = AdmittedAgent(grant, services, hello.software, unix_ms, hints)
        self.deadline = _deadline(grant, now, unix_ms)
        return [Send(self._welcome), ReportOpened()]

    def _renew(self, event: MessageReceived[Renew], now: float) -> list[Command]:
        """Check the new grant, at most one in 10 s; its end is the new deadline."""
        self._limit_renewals(now)
        unix_ms = _time_of(event)
        grant = self._handshake.renew(self.agent.grant, event.message.grant, unix_ms)
        self._agent = replace(self.agent, grant=grant)
        self.deadline = _deadline(grant, now, unix_ms)
        return []

    def _limit_renewals(self, now: float) -> None:
        """Hubs give out a grant a minute at most, and each costs us the check of a signature."""
        if self._renewed_at is not None and now - self._renewed_at < self._renew_s:
            raise Denied(Code.RATE_LIMITED, f"two renewals within {self._renew_s:g} s")
        self._renewed_at = now

    def _change_services(
        self, event: MessageReceived[ServicesChanged], _now: float
    ) -> list[Command]:
        """Check how often, and how many services the tenant has then; reach these from now on."""
        before, services = self.agent, frozenset(event.message.services)
        self._handshake.check_services(before.grant, services)
        self._agent = replace(before, services=services, hints=before.hints.keep(services))
        return [ReportServicesChanged(before.services, before.hints)]

    def _change_hints(self, event: MessageReceived[Hints], now: float) -> list[Command]:
        """Check how much changes, and how often; share out clients as the agent asks for from now on."""
        before, hints = self.agent, unpack(event.message, self.agent.services)
        if hints == before.hints:
            return []
        if not self._marks.take(now, 1 + len(hints.find_marked_anew(before.hints))):
            raise Denied(Code.RATE_LIMITED, "hints about ever other services")
        self._agent = replace(before, hints=hints)
        return [ReportServicesChanged(before.services, before.hints)]

    def _send_go_away(self, _event: GoAwayRequested, _now: float) -> list[Command]:
        """Send `GoAway`; open no more streams."""
        return [Send(GoAway())]

    def _want_lanes(self, event: LanesRequested, _now: float) -> list[Command]:
        """Send `LanesWanted` or `TlsLanesWanted`."""
        wanted = TlsLanesWanted if event.inside_tls else LanesWanted
        return [Send(wanted(event.count))]

    def _send_secret(self, event: SecretRequested, _now: float) -> list[Command]:
        """Send `DatagramSecret`."""
        return [Send(DatagramSecret(event.index, event.secret))]

    def _send_edges(self, event: EdgesRequested, _now: float) -> list[Command]:
        """Send `EdgesChanged`."""
        return [Send(EdgesChanged(event.within_ms))]

    def _take_go_away(self, _event: MessageReceived[GoAway], _now: float) -> list[Command]:
        """Open no more streams."""
        return [ReportGoingAway()]

    def _expire_hello(self, _event: TimedOut, _now: float) -> list[Command]:
        """Close with `hello_timeout`."""
        raise ProtocolError(Code.HELLO_TIMEOUT, f"no Hello within {self._hello_s:g} s")

    def _expire_grant(self, _event: TimedOut, _now: float) -> list[Command]:
        """Close with `grant_expired`."""
        raise Denied(Code.GRANT_EXPIRED)

    WITH_STREAMS = frozenset({State.OPEN, State.GOING_AWAY})
    TABLE: ClassVar[Table] = {
        (State.CONNECTING, HandshakeCompleted): Transition(_challenge, State.AUTHENTICATING),
        (State.CONNECTING, TimedOut): Transition(_expire_hello, State.CLOSED),
        (State.AUTHENTICATING, Hello): Transition(_admit, State.OPEN),
        (State.AUTHENTICATING, TimedOut): Transition(_expire_hello, State.CLOSED),
        (State.OPEN, Renew): Transition(_renew, State.OPEN),
        (State.OPEN, ServicesChanged): Transition(_change_services, State.OPEN),
        (State.OPEN, Hints): Transition(_change_hints, State.OPEN),
        (State.OPEN, GoAway): Transition(_take_go_away, State.GOING_AWAY),
        (State.OPEN, GoAwayRequested): Transition(_send_go_away, State.GOING_AWAY),
        (State.OPEN, LanesRequested): Transition(_want_lanes, State.OPEN),
        (State.OPEN, SecretRequested): Transition(_send_secret, State.OPEN),
        (State.OPEN, EdgesRequested): Transition(_send_edges, State.OPEN),
        (State.OPEN, TimedOut): Transition(_expire_grant, State.CLOSED),
        (State.GOING_AWAY, Renew): Transition(_renew, State.GOING_AWAY),
        (State.GOING_AWAY, ServicesChanged): Transition(_change_services, State.GOING_AWAY),
        (State.GOING_AWAY, Hints): Transition(_change_hints, State.GOING_AWAY),
        (State.GOING_AWAY, GoAway): Transition(_take_go_away, State.GOING_AWAY),
        (State.GOING_AWAY, TimedOut): Transition(_expire_grant, State.CLOSED),
    }


def _time_of(event: MessageReceived[Hello] | MessageReceived[Renew]) -> int:
    assert event.unix_ms is not None, "an edge says when"
    return event.unix_ms


def _deadline(grant: Grant, now: float, unix_ms: int) -> float:
    return now + max(0, grant.not_after_ms - unix_ms) / 1000
