"""What an edge counts; what it counts when is told where that happens."""

import pytest
from prometheus_client import CollectorRegistry


@pytest.mark.usefixtures("metrics")
def test_an_edge_tells_how_its_process_is(registry: CollectorRegistry) -> None:
    assert registry.get_sample_value("process_threads")
