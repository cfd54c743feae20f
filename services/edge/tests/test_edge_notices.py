"""Notices to agents that the hub lists other edges: one for each change, to all that have a session."""

import pytest
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from towonel.edge.core.balance import Balancer
from towonel.edge.core.route_table import RouteTable
from towonel.edge.edge_notices import EdgeNotices
from towonel.edge.metrics import Metrics
from towonel.edge.sessions import Sessions

ONE, TWO = b"1" * 8, b"2" * 8


@pytest.mark.parametrize(
    ("digests", "times"),
    [((ONE,), 0), ((ONE, ONE), 0), ((None, ONE), 0), ((ONE, None, ONE), 0), ((ONE, None, TWO), 1)],
)
async def test_agents_are_told_of_another_list_and_of_nothing_else(
    digests: tuple[bytes | None, ...], times: int
) -> None:
    notices = EdgeNotices(Sessions(RouteTable(), Balancer(), Metrics(CollectorRegistry())))
    with capture_logs() as lines:
        for digest in digests:
            await notices.follow(digest)

    assert [line["event"] for line in lines] == ["edges.changed"] * times
