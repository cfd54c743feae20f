"""Start of a worker: what it is told of the agent's settings."""

from towonel.agent.settings import AgentSettings
from towonel.agent.worker.messages import Start


def make_start(settings: AgentSettings) -> Start:
    """Return the first message to a worker."""
    return Start(
        origin_timeout_s=settings.origin_timeout_secs,
        max_streams=settings.max_streams,
        orphan_s=settings.drain_timeout_secs,
        workers=settings.workers,
        engine=settings.relay_engine.value,
    )
