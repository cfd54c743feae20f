"""Metrics of the edge's process; the other metrics are tested where they are counted."""

import pytest
from prometheus_client import CollectorRegistry


@pytest.mark.usefixtures("metrics")
def test_an_edge_exports_the_metrics_of_its_process(registry: CollectorRegistry) -> None:
    assert registry.get_sample_value("process_threads")


@pytest.mark.usefixtures("metrics")
@pytest.mark.parametrize("way", ["lane", "tls_lane", "stream"])
def test_each_way_of_clients_is_a_series_from_the_start(
    registry: CollectorRegistry, way: str
) -> None:
    assert registry.get_sample_value("towonel_edge_connections_served_total", {"way": way}) == 0
