"""Metrics of the agent's process; the other metrics are tested where they are counted."""

import pytest

from towonel.agent.metrics import Metrics


def test_the_agent_exports_the_metrics_of_its_process() -> None:
    assert Metrics().registry.get_sample_value("process_threads")


@pytest.mark.parametrize("way", ["lane", "tls_lane", "stream"])
def test_each_way_of_clients_is_a_series_from_the_start(way: str) -> None:
    assert Metrics().registry.get_sample_value("towonel_agent_clients_total", {"way": way}) == 0
