"""Serving of an agent's services: each part of it hears of what has changed."""

from collections.abc import Sequence

from towonel.agent.checks.runner import OriginChecks
from towonel.agent.core.services import Service, select_flows, select_streams, tabulate_origins
from towonel.agent.data_plane.flow_plane import FlowPlane
from towonel.agent.data_plane.lanes import Lanes
from towonel.agent.links import Links
from towonel.agent.origins import Origins


def serve_services(
    origins: Origins,
    lanes: Lanes,
    flows: FlowPlane,
    checks: OriginChecks,
    links: Links,
    services: Sequence[Service],
) -> None:
    """Serve clients of these services, and of no others."""
    origins.change(tabulate_origins(services))
    lanes.origins.change(select_streams(services))
    flows.change(select_flows(services))
    checks.change(services)
    links.change_services(tuple(service.key for service in services))
