"""Events and commands of the state machines of a session: all that they take and return.

Events are in the past tense, commands in the imperative. `ReportOpened` is followed by one
`ReportEnded`; a session that never opens has one `ReportRefused` in their place.
"""

from dataclasses import dataclass

from towonel.tunnel.core.close_reason import CloseReason
from towonel.wire.messages import Message
from towonel.wire.names import ServiceKey
from towonel.wire.session.balance_hints import BalanceHints, Hints


@dataclass(frozen=True, slots=True)
class HandshakeCompleted:
    """QUIC handshake complete."""


@dataclass(frozen=True, slots=True)
class MessageReceived[M: Message]:
    """A message that is not about flow control came on the control stream.

    Args:
        message: of the peer.
        unix_ms: when it came, at an edge: grants end by this clock. An agent checks no grant.
    """

    message: M
    unix_ms: int | None = None


@dataclass(frozen=True, slots=True)
class TimedOut:
    """Deadline passed."""


@dataclass(frozen=True, slots=True)
class GoAwayRequested:
    """This end wants no new streams."""


@dataclass(frozen=True, slots=True)
class RenewRequested:
    """Newer grant at hand."""

    grant: bytes


@dataclass(frozen=True, slots=True)
class ServicesRequested:
    """This end, an agent, serves something else from now on."""

    services: tuple[ServiceKey, ...]


@dataclass(frozen=True, slots=True)
class HintsRequested:
    """This end, an agent, asks for other shares of clients from now on."""

    message: Hints


@dataclass(frozen=True, slots=True)
class LanesRequested:
    """This end, an edge, wants so many lanes, or so many of those that are a pool inside TLS."""

    count: int
    inside_tls: bool = False


@dataclass(frozen=True, slots=True)
class SecretRequested:
    """This end, an edge, takes sealed packets under a secret that its agent is to use from now on."""

    index: int
    secret: bytes


@dataclass(frozen=True, slots=True)
class EdgesRequested:
    """This end, an edge, has heard that its hub lists other edges."""

    within_ms: int


@dataclass(frozen=True, slots=True)
class CloseRequested:
    """This end wants to close, or must: the peer broke the protocol."""

    reason: CloseReason


@dataclass(frozen=True, slots=True)
class ConnectionClosed:
    """The QUIC connection has ended, for whatever reason."""

    reason: CloseReason


type Event = (
    HandshakeCompleted
    | MessageReceived[Message]
    | TimedOut
    | GoAwayRequested
    | RenewRequested
    | ServicesRequested
    | HintsRequested
    | LanesRequested
    | SecretRequested
    | EdgesRequested
    | CloseRequested
    | ConnectionClosed
)


@dataclass(frozen=True, slots=True)
class Send:
    """Send a message on the control stream."""

    message: Message


@dataclass(frozen=True, slots=True)
class Close:
    """Close the QUIC connection; the peer gets the code only."""

    reason: CloseReason


@dataclass(frozen=True, slots=True)
class ReportOpened:
    """The session is open."""


@dataclass(frozen=True, slots=True)
class ReportRefused:
    """The session ended before it was open."""

    reason: CloseReason


@dataclass(frozen=True, slots=True)
class ReportGoingAway:
    """The peer wants no new streams."""


@dataclass(frozen=True, slots=True)
class ReportServicesChanged:
    """The peer, an agent, serves something else from now on, or has other hints for load balancers."""

    before: frozenset[ServiceKey]
    hints: BalanceHints  # before


@dataclass(frozen=True, slots=True)
class ReportLanesWanted:
    """The peer, an edge, wants so many lanes, or so many of those that are a pool inside TLS."""

    count: int
    inside_tls: bool = False


@dataclass(frozen=True, slots=True)
class ReportSecret:
    """The peer, an edge, takes sealed packets under a secret."""

    index: int
    secret: bytes


@dataclass(frozen=True, slots=True)
class ReportEdgesChanged:
    """The peer, an edge, has heard that its hub lists other edges."""

    within_ms: int


@dataclass(frozen=True, slots=True)
class ReportEnded:
    """The session was open, and is over."""

    reason: CloseReason


type ReportOfEdge = ReportLanesWanted | ReportSecret | ReportEdgesChanged
type Report = (
    ReportOpened
    | ReportRefused
    | ReportGoingAway
    | ReportServicesChanged
    | ReportOfEdge
    | ReportEnded
)
type Command = Send | Close | Report
