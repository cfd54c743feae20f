"""Codec of the messages of control and worker, as a channel carries them."""

from typing import Final

from towonel.edge.worker.counters import Counters
from towonel.edge.worker.messages import (
    Accepted,
    CarrierOffered,
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
    SessionWeight,
    Settled,
    Start,
)
from towonel.edge.worker.termination.messages import (
    CertificateLoaded,
    CertificateRefused,
    CertificateRemoved,
    CertificateWanted,
    ChallengeChanged,
    HubRouteChanged,
)
from towonel.relay.message_codec import MessageCodec

_TYPES: Final[dict[str, type[Message]]] = {
    "start": Start,
    "listen": Listen,
    "port_closed": PortClosed,
    "routes": Routes,
    "routes_frozen": RoutesFrozen,
    "route_index": RouteIndex,
    "session": SessionAdmitted,
    "session_services": SessionServices,
    "session_weight": SessionWeight,
    "session_going_away": SessionGoingAway,
    "session_ended": SessionEnded,
    "accepted": Accepted,
    "carrier": CarrierOffered,
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
    "certificate": CertificateLoaded,
    "certificate_removed": CertificateRemoved,
    "certificate_refused": CertificateRefused,
    "challenge": ChallengeChanged,
    "certificate_wanted": CertificateWanted,
    "hub_route": HubRouteChanged,
}
# A worker that misses one of these would serve clients by routes of the past: it ends, and another has them all.
VITAL = frozenset({"routes", "route_index"})
_CODEC: Final = MessageCodec[Message](_TYPES)
encode = _CODEC.encode
decode = _CODEC.decode
