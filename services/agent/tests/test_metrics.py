"""Metrics of the agent's process; the other metrics are tested where they are counted."""

from towonel.agent.metrics import Metrics


def test_the_agent_exports_the_metrics_of_its_process() -> None:
    assert Metrics().registry.get_sample_value("process_threads")
