"""Fixtures of the tests of an edge's flows."""

from collections.abc import Iterator

import pytest
from support.flow_agents import EdgeFlows


@pytest.fixture
def edge() -> Iterator[EdgeFlows]:
    """Flows of an edge, without agents yet."""
    made = EdgeFlows()
    yield made
    made.close()
