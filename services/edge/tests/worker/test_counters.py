"""Counters of a worker: each report has what was counted since the one before, and a report without news is known."""

from types import SimpleNamespace
from typing import Any

from towonel.edge.worker.counters import WorkerCounters, count, find_silent
from towonel.relay.core.lane_kinds import LaneKind
from towonel.wire.errors import Code

LANES: Any = SimpleNamespace(admitted=dict.fromkeys(LaneKind, 0), refused={}, lost={})
NOW = (1, 2, 3)


def test_the_same_count_twice_is_news_twice() -> None:
    counters = WorkerCounters()
    reports = []
    for _ in range(2):
        counters.accepted += 1
        count(counters.refused, Code.NO_ROUTE)
        reports.append(counters.take(LANES, NOW))

    assert reports[0] == reports[1] != find_silent(reports[0])
    assert counters.take(LANES, NOW) == find_silent(reports[1])


def test_other_lanes_and_clients_are_news() -> None:
    counters = WorkerCounters()
    silent = find_silent(counters.take(LANES, NOW))

    assert counters.take(LANES, (1, 2, 4)) != silent
    counters.active += 1
    assert counters.take(LANES, NOW) != silent
