"""What the agent counts; what it counts when is told where that happens."""

from towonel.agent.metrics import Metrics


def test_the_agent_tells_how_its_process_is() -> None:
    assert Metrics().registry.get_sample_value("process_threads")
