"""Kinds of connections that are agents', told from clients' by all the protocols that they offer."""

from collections.abc import Mapping
from enum import Enum
from typing import Final

from towonel.wire import lane_admission
from towonel.wire.tcp import session_frames


class AgentConnection(Enum):
    """Connection that is an agent's, and no client's."""

    LANE = "lane"
    TLS_LANE = "tls_lane"
    SESSION = "session"


# By all the protocols that a ClientHello offers.
AGENTS: Final[Mapping[tuple[bytes, ...], AgentConnection]] = {
    (lane_admission.ALPN,): AgentConnection.TLS_LANE,
    (session_frames.ALPN,): AgentConnection.SESSION,
}
