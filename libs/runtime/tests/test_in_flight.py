"""Counter of work in flight: it counts blocks, and wakes its waiters when the last one ends."""

import asyncio

import pytest

from towonel.runtime.in_flight import InFlight


async def test_a_counter_is_idle_before_the_first_piece_of_work() -> None:
    async with asyncio.timeout(20):
        await InFlight().wait_idle()


async def test_waiters_wake_when_the_last_piece_of_work_ends() -> None:
    in_flight = InFlight()
    async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
        with in_flight:
            with in_flight:
                waiting = tasks.create_task(in_flight.wait_idle())
                await asyncio.sleep(0)
                assert in_flight.count == 2
            await asyncio.sleep(0)
            assert not waiting.done()

    assert in_flight.count == 0


async def test_work_that_fails_is_no_longer_in_flight() -> None:
    in_flight = InFlight()
    with pytest.raises(KeyError), in_flight:
        raise KeyError

    assert in_flight.count == 0
