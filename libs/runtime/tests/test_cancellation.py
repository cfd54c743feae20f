"""Clean-up runs to its end, however often its caller is cancelled."""

import asyncio

import pytest

from towonel.runtime.cancellation import finish_despite_cancellation


async def test_a_cancellation_is_passed_on_after_the_end() -> None:
    steps = list[int]()

    async def work() -> None:
        for number in range(5):
            await asyncio.sleep(0)
            steps.append(number)

    task = asyncio.create_task(finish_despite_cancellation(work()))
    while not task.done():
        await asyncio.sleep(0)
        task.cancel()

    assert steps == [0, 1, 2, 3, 4]
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_failure_is_the_caller_s() -> None:
    async def work() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await finish_despite_cancellation(work())
