"""Messages of an agent's control and its flow worker, over `towonel.relay.channel`.

control ──▶ worker    start, origins (as many as are needed), then what happens: session, session_secret,
                      session_ended, resolved, origins, drain
worker ──▶ control    ready; each second counters, and refused of services that have some; resolve, crashed
"""

from dataclasses import dataclass, field
from typing import Final

from towonel.agent.worker.messages import (
    Crashed,
    Drain,
    Origins,
    Refused,
    Resolve,
    Resolved,
    SessionEnded,
)
from towonel.relay.message_codec import MessageCodec

type Count = tuple[int, int]  # a code, and how often


@dataclass(frozen=True, slots=True)
class Start:
    """First message.

    Args:
        flows: at once, at most.
        first_counter: of packets under each secret, which a worker before this one may have used.
    """

    flows: int
    first_counter: int


@dataclass(frozen=True, slots=True)
class Session:
    """Session of an edge that takes sealed packets at an address."""

    id: bytes
    address: tuple[str, int] | tuple[str, int, int, int]


@dataclass(frozen=True, slots=True)
class SessionSecret:
    """Secret of a session's sealed packets; the newest is used."""

    id: bytes
    index: int
    secret: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Ready:
    """Answer to `Start`: the loopback port that takes carriers."""

    port: int


@dataclass(frozen=True, slots=True)
class Counters:
    """Counters since the message before, and what there is now.

    Args:
        active: flows now.
        opened: flows that began.
        ended: flows, by code.
        dropped: datagrams and packets, by reason.
        to_origin, to_edge: datagrams, and their bytes.
        paths: sessions by the state of their path.
    """

    active: int = 0
    opened: int = 0
    ended: tuple[Count, ...] = ()
    dropped: tuple[tuple[str, int], ...] = ()
    to_origin: tuple[int, int] = (0, 0)
    to_edge: tuple[int, int] = (0, 0)
    paths: tuple[tuple[str, int], ...] = ()


type Down = Start | Origins | Session | SessionSecret | SessionEnded | Resolved | Drain
type Up = Ready | Counters | Refused | Resolve | Crashed
type Message = Down | Up
_TYPES: Final[dict[str, type[Message]]] = {
    "start": Start,
    "origins": Origins,
    "session": Session,
    "session_secret": SessionSecret,
    "session_ended": SessionEnded,
    "resolved": Resolved,
    "drain": Drain,
    "ready": Ready,
    "counters": Counters,
    "refused": Refused,
    "resolve": Resolve,
    "crashed": Crashed,
}
CODEC: Final = MessageCodec[Message](_TYPES)
