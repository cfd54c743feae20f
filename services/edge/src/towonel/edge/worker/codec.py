"""Codec of the messages of control and worker, as a channel carries them."""

from collections.abc import Mapping
from dataclasses import fields
from types import UnionType
from typing import Any, get_args, get_origin

from towonel.edge.worker.counters import Counters
from towonel.edge.worker.messages import (
    Accepted,
    ClientEnded,
    ClientHandedOver,
    ClientMoved,
    ClientsEnded,
    Crashed,
    Drain,
    Draining,
    IndexUnmapped,
    LanesWanted,
    Listen,
    Message,
    PortClosed,
    Ready,
    Refused,
    RouteIndex,
    Routes,
    RoutesFrozen,
    SessionAdmitted,
    SessionEnded,
    SessionGoingAway,
    SessionOffered,
    SessionServices,
    Settled,
    Start,
)
from towonel.relay.channel import ChannelMessage
from towonel.wire.errors import Code, ProtocolError

_TYPES: dict[str, type[Message]] = {
    "start": Start,
    "listen": Listen,
    "port_closed": PortClosed,
    "routes": Routes,
    "routes_frozen": RoutesFrozen,
    "route_index": RouteIndex,
    "session": SessionAdmitted,
    "session_services": SessionServices,
    "session_going_away": SessionGoingAway,
    "session_ended": SessionEnded,
    "accepted": Accepted,
    "client_ended": ClientEnded,
    "drain": Drain,
    "settled": Settled,
    "ready": Ready,
    "counters": Counters,
    "lanes_wanted": LanesWanted,
    "client": ClientHandedOver,
    "client_moved": ClientMoved,
    "clients_ended": ClientsEnded,
    "session_offered": SessionOffered,
    "refused": Refused,
    "crashed": Crashed,
    "index_unmapped": IndexUnmapped,
    "draining": Draining,
}
# A worker that misses one of these would serve clients by routes of the past: it ends, and another has them all.
VITAL = frozenset({"routes", "route_index"})
_KINDS = {made: kind for kind, made in _TYPES.items()}
_FIELDS = {made: tuple(each.name for each in fields(made)) for made in _KINDS}


def _is_tuple(annotation: object) -> bool:
    """Whether a field is a tuple, which travels as an array, or may be one."""
    kinds = get_args(annotation) if isinstance(annotation, UnionType) else (annotation,)
    return any(get_origin(kind) is tuple for kind in kinds)


_TUPLES = {
    made: tuple(each.name for each in fields(made) if _is_tuple(each.type)) for made in _KINDS
}


def encode(message: Message) -> tuple[str, Mapping[str, Any]]:
    """Return a message's type and map, as a channel sends them."""
    made = type(message)
    return _KINDS[made], {name: getattr(message, name) for name in _FIELDS[made]}


def decode(message: ChannelMessage) -> Message:
    """Return what came on the channel.

    Raises:
        ProtocolError: UNEXPECTED_MESSAGE for a type, MALFORMED for fields that are not known.
    """
    made = _TYPES.get(message.kind)
    if made is None:
        raise ProtocolError(Code.UNEXPECTED_MESSAGE, message.kind)
    values = dict(message.fields)
    for name in _TUPLES[made]:
        if isinstance(values.get(name), list):
            values[name] = tuple(values[name])
    try:
        return made(**values)
    except TypeError as error:
        raise ProtocolError(Code.MALFORMED, f"{message.kind}: {error}") from error
