"""Fixtures of the relay's tests: both ends of lanes, or one of them whose peer the test speaks for."""

import socket
from collections.abc import Iterator

import pytest
from support.edge_identity import CERTIFICATE_HASH, EDGE_ID
from support.lane_peers import LanePeer, accept_lane, dial_lane
from support.relay import SECRET, SESSION, Relay

from towonel.relay.agent_lanes import LaneTarget


@pytest.fixture
def relay() -> Iterator[Relay]:
    """Both ends, with a lane between them; a module may have others."""
    relay = Relay()
    yield relay
    relay.close()


@pytest.fixture
def agent_peer(relay: Relay) -> Iterator[LanePeer]:
    """An agent that is admitted by the relay's edge."""
    peer = dial_lane(relay.edge.acceptor.address)
    relay.wait(lambda: len(relay.edge.session.idle) == 1)
    with peer.sock:
        yield peer


@pytest.fixture
def edge_peer(relay: Relay) -> Iterator[LanePeer]:
    """An edge that has admitted the relay's agent."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        target = LaneTarget(SESSION, SECRET, EDGE_ID, CERTIFICATE_HASH, server.getsockname())
        relay.calls.call(lambda: relay.agent.lanes.add_session(target, 1))
        peer = accept_lane(server)
        relay.wait(lambda: len(relay.agent.session.idle) == 1)
        with peer.sock:
            yield peer
