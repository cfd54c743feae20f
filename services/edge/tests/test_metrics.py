"""Metrics of the edge's process; the other metrics are tested where they are counted."""

import pytest
from prometheus_client import CollectorRegistry


@pytest.mark.usefixtures("metrics")
def test_an_edge_exports_the_metrics_of_its_process(registry: CollectorRegistry) -> None:
    assert registry.get_sample_value("process_threads")
