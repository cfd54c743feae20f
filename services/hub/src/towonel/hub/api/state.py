"""What every endpoint works with."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated

from fastapi import Depends, Request

from towonel.hub.feed import Bell
from towonel.hub.keys import HubKeys
from towonel.hub.metrics import Metrics
from towonel.hub.store.session import Store


def wall_clock_ms() -> int:
    """Unix time in ms."""
    return time.time_ns() // 1_000_000


@dataclass(frozen=True)
class Hub:
    """One hub: its keys, its database, its bell and its clock."""

    keys: HubKeys
    store: Store
    bell: Bell
    url: str
    allow_privileged_ports: bool = False
    now_ms: Callable[[], int] = wall_clock_ms
    metrics: Metrics = field(default_factory=Metrics)

    def __post_init__(self) -> None:
        self.metrics.revision.set_function(lambda: self.bell.revision)
        self.metrics.waiting.set_function(lambda: self.bell.waiting)
        self.metrics.redis.set_function(lambda: self.bell.connected)


def _hub(request: Request) -> Hub:
    hub: Hub = request.app.state.hub
    return hub


HubDep = Annotated[Hub, Depends(_hub)]
