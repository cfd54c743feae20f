"""Metrics of lanes: totals of a worker become counters of the agent, across workers that die."""

from towonel.agent.data_plane.lane_metrics import LaneMetrics
from towonel.agent.metrics import Metrics
from towonel.agent.worker.messages import Counters, SessionLanes
from towonel.wire.errors import Code


def value(metrics: Metrics, name: str, **labels: str) -> float:
    return metrics.registry.get_sample_value(f"towonel_agent_{name}", labels) or 0


def test_totals_of_one_worker_after_another_add_up() -> None:
    metrics = Metrics()
    lanes = LaneMetrics(metrics)
    refused = ((int(Code.ORIGIN_REFUSED), 2),)
    before, after = (("lane", 4), ("tls_lane", 1)), (("lane", 4), ("tls_lane", 2))
    lanes.count(0, Counters(active=3, accepted=before, errors=refused, to_origin=100))
    lanes.count(0, Counters(1, after, completed=3, errors=refused, to_origin=130))
    lanes.lose_worker(0)
    lanes.count(0, Counters(active=2, accepted=(("lane", 2),), errors=refused, to_edge=7))

    assert value(metrics, "streams_active") == 2
    assert value(metrics, "streams_accepted_total") == 8
    assert value(metrics, "clients_total", way="lane") == 6
    assert value(metrics, "clients_total", way="tls_lane") == 2
    assert value(metrics, "streams_completed_total") == 3
    assert value(metrics, "stream_errors_total", reason="origin_refused") == 4
    assert value(metrics, "stream_errors_total", reason="internal") == 1
    assert value(metrics, "bytes_total", direction="edge_to_origin") == 130
    assert value(metrics, "bytes_total", direction="origin_to_edge") == 7
    assert value(metrics, "worker_restarts_total") == 1


def test_lanes_are_the_sum_of_those_of_all_sessions_that_there_are() -> None:
    metrics = Metrics()
    lanes = LaneMetrics(metrics)
    lanes.set_session(0, SessionLanes(b"a", idle=2, in_use=3, dialing=1, wanted=6))
    lanes.set_session(0, SessionLanes(b"b", idle=4, in_use=0, dialing=0, wanted=4))
    lanes.set_session(0, SessionLanes(b"a", idle=1, in_use=4, dialing=1, wanted=6))

    states = {"idle": 5, "in_use": 4, "dialing": 1, "wanted": 10}
    assert {state: value(metrics, "lanes", state=state) for state in states} == states
    assert value(metrics, "links_with_lanes") == 2
    lanes.set_session(0, SessionLanes(b"b", idle=0, in_use=0, dialing=0, wanted=4))
    assert value(metrics, "links_with_lanes") == 1
    lanes.forget_session(b"b")
    assert value(metrics, "lanes", state="wanted") == 6
    lanes.lose_worker(0)
    assert value(metrics, "lanes", state="idle") == 0


def test_what_several_workers_count_adds_up_and_one_that_is_lost_takes_its_own_along() -> None:
    metrics = Metrics()
    lanes = LaneMetrics(metrics)
    for worker, completed in ((0, 5), (1, 7), (0, 6)):
        lanes.count(worker, Counters(active=2 + worker, completed=completed, to_edge=completed))
        lanes.set_session(worker, SessionLanes(b"a", idle=4, in_use=worker, dialing=0, wanted=5))

    assert value(metrics, "streams_completed_total") == 13
    assert value(metrics, "bytes_total", direction="origin_to_edge") == 13
    assert value(metrics, "streams_active") == 5
    assert value(metrics, "lanes", state="wanted") == 10
    assert value(metrics, "links_with_lanes") == 1
    lanes.lose_worker(1)
    assert value(metrics, "streams_active") == 2
    assert value(metrics, "stream_errors_total", reason="internal") == 3
    assert value(metrics, "lanes", state="idle") == 4
    lanes.count(1, Counters(active=1, completed=1))
    assert value(metrics, "streams_completed_total") == 14
    lanes.forget_session(b"a")
    assert value(metrics, "lanes", state="idle") == 0
