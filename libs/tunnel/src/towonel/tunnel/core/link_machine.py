"""State machine of a link: the agent's end of a session, from dialling to the close."""

from typing import ClassVar

from towonel.tunnel.core.close_reason import CloseReason
from towonel.tunnel.core.events import (
    Close,
    Command,
    GoAwayRequested,
    HintsRequested,
    MessageReceived,
    RenewRequested,
    ReportEdgesChanged,
    ReportGoingAway,
    ReportLanesWanted,
    ReportOpened,
    ReportSecret,
    Send,
    ServicesRequested,
    TimedOut,
)
from towonel.tunnel.core.handshake import AgentHandshake, EdgeIdentity
from towonel.tunnel.core.machine import Machine, State, Table, Transition
from towonel.tunnel.core.timing import DEFAULT_TIMING, Timing
from towonel.wire.errors import Code
from towonel.wire.messages import (
    MAX_LANES,
    Challenge,
    DatagramSecret,
    EdgesChanged,
    GoAway,
    LanesWanted,
    Renew,
    ServicesChanged,
    TlsLanesWanted,
    Welcome,
)


class LinkMachine(Machine):
    """State machine of the agent's end.

    Args:
        edge: that was dialled.
        handshake: answers the edge's challenge.
        now: when it was dialled.
        timing: `welcome_s`.
    """

    def __init__(
        self,
        edge: EdgeIdentity,
        handshake: AgentHandshake,
        *,
        now: float,
        timing: Timing = DEFAULT_TIMING,
    ) -> None:
        super().__init__(now + timing.welcome_s)
        self._edge = edge
        self._handshake = handshake
        self._welcome_s = timing.welcome_s
        self.session_id = b""
        self.lane_secret: bytes | None = None

    def _answer(self, event: MessageReceived[Challenge], _now: float) -> list[Command]:
        """Check edge and versions; send `Hello`."""
        return [Send(self._handshake.answer(event.message, self._edge))]

    def _open(self, event: MessageReceived[Welcome], _now: float) -> list[Command]:
        """Serve clients."""
        self.session_id = event.message.session_id
        self.lane_secret = event.message.lane_secret
        return [ReportOpened()]

    def _renew(self, event: RenewRequested, _now: float) -> list[Command]:
        """Send `Renew`."""
        return [Send(Renew(event.grant))]

    def _change_services(self, event: ServicesRequested, _now: float) -> list[Command]:
        """Send `ServicesChanged`."""
        return [Send(ServicesChanged(event.services))]

    def _send_hints(self, event: HintsRequested, _now: float) -> list[Command]:
        """Send `Hints`."""
        return [Send(event.message)]

    def _send_go_away(self, _event: GoAwayRequested, _now: float) -> list[Command]:
        """Send `GoAway`; streams may cross it."""
        return [Send(GoAway())]

    def _take_go_away(self, _event: MessageReceived[GoAway], _now: float) -> list[Command]:
        """Dial other edges; open streams go on."""
        return [ReportGoingAway()]

    def _take_secret(self, event: MessageReceived[DatagramSecret], _now: float) -> list[Command]:
        """Seal packets of UDP services with it."""
        return [ReportSecret(event.message.index, event.message.secret)]

    def _take_edges(self, event: MessageReceived[EdgesChanged], _now: float) -> list[Command]:
        """Ask the hub which edges there are."""
        return [ReportEdgesChanged(event.message.within_ms)]

    def _want_lanes(
        self, event: MessageReceived[LanesWanted] | MessageReceived[TlsLanesWanted], _now: float
    ) -> list[Command]:
        """Keep as many lanes, of which the agent bounds those that are idle."""
        inside_tls = isinstance(event.message, TlsLanesWanted)
        return [ReportLanesWanted(min(event.message.count, MAX_LANES), inside_tls)]

    def _give_up(self, _event: TimedOut, _now: float) -> list[Command]:
        """Close with `normal`: for the agent this is `session_lost`."""
        detail = f"no answer within {self._welcome_s:g} s: is UDP blocked?"
        report = self._finish(CloseReason(Code.SESSION_LOST, detail))
        return [Close(CloseReason(Code.NORMAL)), report]

    # The edge is proved by its certificate; its streams may overtake its Welcome.
    WITH_STREAMS = frozenset({State.AUTHENTICATING, State.OPEN, State.GOING_AWAY})
    TABLE: ClassVar[Table] = {
        (State.CONNECTING, Challenge): Transition(_answer, State.AUTHENTICATING),
        (State.CONNECTING, TimedOut): Transition(_give_up, State.CLOSED),
        (State.AUTHENTICATING, Welcome): Transition(_open, State.OPEN),
        (State.AUTHENTICATING, TimedOut): Transition(_give_up, State.CLOSED),
        (State.OPEN, GoAway): Transition(_take_go_away, State.GOING_AWAY),
        (State.OPEN, LanesWanted): Transition(_want_lanes, State.OPEN),
        (State.OPEN, TlsLanesWanted): Transition(_want_lanes, State.OPEN),
        (State.OPEN, DatagramSecret): Transition(_take_secret, State.OPEN),
        (State.OPEN, EdgesChanged): Transition(_take_edges, State.OPEN),
        (State.OPEN, GoAwayRequested): Transition(_send_go_away, State.OPEN),
        (State.OPEN, RenewRequested): Transition(_renew, State.OPEN),
        (State.OPEN, ServicesRequested): Transition(_change_services, State.OPEN),
        (State.OPEN, HintsRequested): Transition(_send_hints, State.OPEN),
        (State.GOING_AWAY, GoAway): Transition(_take_go_away, State.GOING_AWAY),
        (State.GOING_AWAY, GoAwayRequested): Transition(_send_go_away, State.GOING_AWAY),
        (State.GOING_AWAY, RenewRequested): Transition(_renew, State.GOING_AWAY),
        (State.GOING_AWAY, ServicesRequested): Transition(_change_services, State.GOING_AWAY),
        (State.GOING_AWAY, HintsRequested): Transition(_send_hints, State.GOING_AWAY),
    }
