"""Notices of edges that there are other edges: the hub is asked once, soon, and not too often."""

import asyncio
import itertools
from random import Random
from typing import override

from support.tunnel import until

from towonel.agent.edge_notices import EdgeNotices


class LargestDraws(Random):
    """Randomness that remembers the bounds of what was drawn."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.bounds: list[float] = []

    @override
    def uniform(self, a: float, b: float) -> float:
        self.bounds.append(b)
        return a


async def test_notices_of_all_edges_have_the_hub_asked_once() -> None:
    requests: list[float] = []
    clock = asyncio.get_running_loop().time
    notices, began = EdgeNotices(lambda: requests.append(clock()), Random(1), 0), clock()
    for _ in range(3):
        notices.take(200)
    await until(lambda: requests)
    first = list(requests)
    notices.take(0)
    await until(lambda: len(requests) == 2)

    assert len(first) == 1
    assert 0 <= first[0] - began < 10


async def test_an_edge_that_goes_on_about_it_does_not_have_the_hub_asked_all_the_time() -> None:
    requests: list[float] = []
    clock = asyncio.get_running_loop().time
    notices = EdgeNotices(lambda: requests.append(clock()), Random(1), 0.2)
    while len(requests) < 3:
        notices.take(0)
        await asyncio.sleep(0)

    # A loop fires a timer up to its clock's resolution (a nanosecond) early.
    assert all(after - before > 0.199 for before, after in itertools.pairwise(requests))


async def test_no_edge_puts_it_off_for_longer_than_the_agent_would() -> None:
    drawn = LargestDraws(1)
    EdgeNotices(lambda: None, drawn, 0).take(1 << 62)

    assert drawn.bounds == [60.0]
