"""UDP side of an agent, without edges: its worker is started by a secret of one only."""

from collections.abc import Collection

from towonel.agent.core.services import Service, select_flows
from towonel.agent.data_plane.flow_plane import FlowPlane
from towonel.agent.data_plane.lanes import Lanes
from towonel.agent.metrics import Metrics
from towonel.agent.origin_log import OriginLog
from towonel.relay.supervisor import exec_python
from towonel.runtime.admin import Health
from towonel.runtime.dns.resolver import Resolver


def make_flow_plane(
    services: Collection[Service],
    resolver: Resolver,
    metrics: Metrics,
    health: Health,
    lanes: Lanes,
) -> FlowPlane:
    """Return the UDP side of an agent with these services."""
    start = exec_python("-m", "towonel.agent.flows")
    parts = resolver, metrics, health, OriginLog(), start, lanes.origins
    return FlowPlane(select_flows(services), *parts)
