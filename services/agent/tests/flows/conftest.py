"""Fixtures of the tests of an agent's flows."""

from collections.abc import Iterator

import pytest
from support.flow_edges import AgentFlows


@pytest.fixture
def agent() -> Iterator[AgentFlows]:
    """Flows of an agent, without edges and origins yet."""
    made = AgentFlows()
    yield made
    made.close()
