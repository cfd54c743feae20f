"""Admission of reports: one at a time of each edge, few in all, and not too often."""

import asyncio
import contextlib
from collections.abc import Iterator

import pytest

from towonel.hub.bounds import Bounds
from towonel.hub.context import Policy
from towonel.hub.live.rate_limits import MemoryLimiter
from towonel.hub.live.report_intake import ReportIntake
from towonel.wire.errors import Code, Unavailable

ONE, TWO, THREE = (bytes([number]) * 32 for number in (1, 2, 3))


@contextlib.contextmanager
def refused(code: Code) -> Iterator[None]:
    with pytest.raises(Unavailable) as caught:
        yield
    assert caught.value.code is code
    assert caught.value.retry_after_s


def new_intake(bounds: Bounds | None = None) -> ReportIntake:
    return ReportIntake(MemoryLimiter(), Policy().reports, bounds or Bounds())


async def test_an_edge_sends_one_report_at_a_time() -> None:
    intake = new_intake()
    async with intake.admit(ONE), intake.admit(TWO):
        with refused(Code.RATE_LIMITED):
            async with intake.admit(ONE):
                pass
    async with intake.admit(ONE):
        pass


async def test_more_reports_than_there_are_places_wait_for_one() -> None:
    intake, done = new_intake(Bounds(reports=1, report_wait_s=20)), list[str]()

    async def report() -> None:
        async with intake.admit(TWO):
            done.append("two")

    async with asyncio.timeout(20), asyncio.TaskGroup() as tasks, intake.admit(ONE):
        tasks.create_task(report())
        await asyncio.sleep(0.01)
        done.append("one")

    assert done == ["one", "two"]


async def test_a_report_that_finds_no_place_in_time_is_told_to_come_back() -> None:
    intake = new_intake(Bounds(reports=1, report_wait_s=0.01))
    async with intake.admit(ONE):
        with refused(Code.OVERLOADED):
            async with intake.admit(TWO):
                pass
    async with intake.admit(TWO):
        pass


async def test_bodies_without_a_proof_keep_no_edge_waiting_that_has_one() -> None:
    intake = new_intake(Bounds(reports=1, unproved_reports=2, report_wait_s=0.01))
    with intake.admit_unproved(ONE), intake.admit_unproved(TWO):
        with refused(Code.OVERLOADED), intake.admit_unproved(THREE):
            pass
        async with intake.admit(ONE):
            pass


async def test_in_the_name_of_one_edge_one_body_without_a_proof_is_read_at_a_time() -> None:
    intake = new_intake()
    with intake.admit_unproved(ONE), refused(Code.RATE_LIMITED), intake.admit_unproved(ONE):
        pass
    with intake.admit_unproved(ONE):
        pass


async def test_an_edge_reports_once_in_five_seconds_after_a_few() -> None:
    clock = [0]
    intake = ReportIntake(MemoryLimiter(lambda: clock[0]), Policy().reports, Bounds())
    for _ in range(3):
        await intake.count(ONE)
    with refused(Code.RATE_LIMITED):
        await intake.count(ONE)
    await intake.count(TWO)
    clock[0] += 5_000
    await intake.count(ONE)

    with refused(Code.RATE_LIMITED):
        await intake.count(ONE)
