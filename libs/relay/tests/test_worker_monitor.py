"""Monitor of workers: what it says of those that keep ending, and that it takes it back by itself."""

import contextlib

import pytest
from structlog.testing import capture_logs
from support.tunnel import until

from towonel.relay.core.worker_stability import StabilityLimits
from towonel.relay.worker_monitor import WorkerMonitor
from towonel.runtime.admin import Health

LIMITS = StabilityLimits(ends=2, within_s=0.4, lasting_s=0.1)
WORD = "workers keep ending, and their clients are reset"


def monitor(workers: int, *, are_needed: bool = True) -> WorkerMonitor:
    return WorkerMonitor(Health(), workers, are_needed, LIMITS)


def end(monitor: WorkerMonitor, number: int, times: int = 2) -> None:
    for time in range(times):
        monitor.note_end(number, f"crash {time}")


async def test_a_worker_that_ends_once_is_nothing_to_tell() -> None:
    watched = monitor(1)
    end(watched, 0, times=1)

    assert watched.health.reasons == {}
    assert watched.health.ready


@pytest.mark.parametrize("are_needed", [True, False])
async def test_while_all_fail_a_process_that_needs_them_is_not_ready(*, are_needed: bool) -> None:
    with contextlib.closing(monitor(2, are_needed=are_needed)) as watched:
        end(watched, 0)
        assert watched.health.reasons == {"workers": f"1 of 2 {WORD}: crash 1"}
        assert watched.health.ready
        end(watched, 1)

        assert watched.health.reasons == {"workers": f"2 of 2 {WORD}: crash 1"}
        assert watched.health.ready is not are_needed


async def test_a_worker_that_lasts_makes_it_ready_and_the_time_makes_it_well() -> None:
    with contextlib.closing(monitor(1)) as watched, capture_logs() as lines:
        end(watched, 0)
        assert not watched.health.ready
        watched.note_start(0)
        await until(lambda: watched.health.ready)
        assert watched.health.degraded == {"workers": True}
        await until(lambda: not watched.health.reasons)

    assert watched.unstable == 0
    assert lines == [
        {
            "event": "workers.degraded",
            "log_level": "error",
            "unstable": 1,
            "workers": 1,
            "reason": "crash 1",
        },
        {"event": "workers.recovered", "log_level": "info", "workers": 1},
    ]


async def test_a_worker_that_goes_on_ending_is_a_line_once() -> None:
    with contextlib.closing(monitor(1)) as watched, capture_logs() as lines:
        end(watched, 0, times=9)

    assert [line["event"] for line in lines] == ["workers.degraded"]
    assert watched.health.reasons == {"workers": f"1 of 1 {WORD}: crash 8"}
