"""Metrics of an agent's lanes, counted in its workers."""

from collections.abc import Callable, Iterable

from prometheus_client import Counter

from towonel.agent.metrics import Metrics
from towonel.agent.worker.messages import Counters, SessionLanes
from towonel.wire.errors import Code

_NOTHING = Counters()


class LaneMetrics:
    """Metrics of lanes, summed over the workers; clients that come over them count as all others do."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._last: dict[int, Counters] = {}
        self._sessions: dict[tuple[int, bytes], SessionLanes] = {}

    def count(self, worker: int, now: Counters) -> None:
        """Count what was done since the last message of the same worker."""
        metrics, last = self._metrics, self._last.get(worker, _NOTHING)
        self._last[worker] = now
        metrics.streams.inc(now.active - last.active)
        metrics.streams_accepted.inc(_sum(now.accepted) - _sum(last.accepted))
        _add_words(metrics.accepted_by_way, now.accepted, last.accepted)
        metrics.streams_completed.inc(now.completed - last.completed)
        metrics.carried.labels("edge_to_origin").inc(now.to_origin - last.to_origin)
        metrics.carried.labels("origin_to_edge").inc(now.to_edge - last.to_edge)
        _add_words(metrics.lanes_admitted, now.lanes_admitted, last.lanes_admitted)
        _add(metrics.stream_errors, now.errors, last.errors)
        _add(metrics.lanes_lost, now.lanes_lost, last.lanes_lost)
        _add(metrics.lanes_failed, now.lanes_failed, last.lanes_failed)

    def show_unstable(self, count: Callable[[], int]) -> None:
        """Show how many workers keep ending."""
        self._metrics.workers_unstable.set_function(count)

    def count_unread(self, times: int) -> None:
        """Count PROXY headers that were not read."""
        self._metrics.headers_unread.inc(times)

    def set_session(self, worker: int, lanes: SessionLanes) -> None:
        """Take a worker's lanes of a session."""
        self._sessions[worker, lanes.id] = lanes
        self._sum_up()

    def forget_session(self, session_id: bytes) -> None:
        """Forget the lanes of a session that is over."""
        self._sessions = {
            key: lanes for key, lanes in self._sessions.items() if key[1] != session_id
        }
        self._sum_up()

    def lose_worker(self, worker: int) -> None:
        """Count the end of a worker, and of its clients."""
        metrics, last = self._metrics, self._last.pop(worker, _NOTHING)
        metrics.worker_restarts.inc()
        metrics.streams.dec(last.active)
        metrics.stream_errors.labels(Code.INTERNAL.word).inc(last.active)
        self._sessions = {key: lanes for key, lanes in self._sessions.items() if key[0] != worker}
        self._sum_up()

    def _sum_up(self) -> None:
        lanes, sessions = self._metrics.lanes, self._sessions.values()
        lanes.labels("idle").set(sum(session.idle for session in sessions))
        lanes.labels("in_use").set(sum(session.in_use for session in sessions))
        lanes.labels("dialing").set(sum(session.dialing for session in sessions))
        lanes.labels("wanted").set(sum(session.wanted for session in sessions))
        with_lanes = {session.id for session in sessions if session.idle or session.in_use}
        self._metrics.links_with_lanes.set(len(with_lanes))


def _sum(counts: Iterable[tuple[str, int]]) -> int:
    return sum(count for _, count in counts)


def _add_words(
    counter: Counter, now: Iterable[tuple[str, int]], last: Iterable[tuple[str, int]]
) -> None:
    """Add to a counter by word what its totals are more than before."""
    before = dict(last)
    for word, total in now:
        counter.labels(word).inc(total - before.get(word, 0))


def _add(counter: Counter, now: Iterable[tuple[int, int]], last: Iterable[tuple[int, int]]) -> None:
    """Add to a counter by code what its totals are more than before."""
    before = dict(last)
    for number, total in now:
        more = total - before.get(number, 0)
        if more:
            counter.labels(Code(number).word).inc(more)
