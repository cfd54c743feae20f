"""Connections of agents: known by the one protocol that they offer, as no client's is."""

import pytest

from towonel.edge.core.agent_connections import AGENTS, AgentConnection
from towonel.wire import lane_admission
from towonel.wire.tcp import session_frames


@pytest.mark.parametrize(
    ("protocols", "expected"),
    [
        ((lane_admission.ALPN,), AgentConnection.TLS_LANE),
        ((session_frames.ALPN,), AgentConnection.SESSION),
        ((), None),
        ((b"h2", b"http/1.1"), None),
        ((lane_admission.ALPN, b"h2"), None),
    ],
)
def test_an_agent_offers_one_protocol_and_no_other(
    protocols: tuple[bytes, ...], expected: AgentConnection | None
) -> None:
    assert AGENTS.get(protocols) is expected
