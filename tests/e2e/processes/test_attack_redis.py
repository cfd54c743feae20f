"""Attacks by somebody who may publish in the Redis of hub and edge."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from redis.asyncio import Redis
from support.attack import honest_callers, withstanding
from support.programs import own_processes
from support.redis_server import running_redis
from support.stack import Stack, until

from towonel.wire.routes import CHANGES_CHANNEL

pytestmark = [pytest.mark.attack, pytest.mark.processes]
LARGE = 16 * 1024 * 1024
REFUSED = "redis_messages_refused_total"


@pytest.fixture
async def stack(tmp_path: Path) -> AsyncIterator[Stack]:
    """A hub, an edge and a Redis, in processes of their own."""
    async with running_redis(tmp_path) as url, own_processes(tmp_path) as runner:
        stack = Stack(runner, tmp_path, url)
        await stack.start_hub()
        await stack.start_edge()
        yield stack


async def test_messages_of_16_mib_take_no_memory_of_hub_and_edge_which_hear_of_changes(
    stack: Stack,
) -> None:
    assert stack.hub
    hub, edge = stack.hub, stack.edges[0]
    async with (
        Redis.from_url(str(stack.redis_url)) as stranger,
        honest_callers(stack) as serve,
        withstanding(hub.program, serve),
        withstanding(edge.program, serve),
        asyncio.timeout(40),
    ):
        while await hub.metric(f"towonel_hub_{REFUSED}") < 4 or (
            await edge.metric(f"towonel_edge_{REFUSED}") < 3
        ):
            await stranger.publish(CHANGES_CHANNEL, bytes(LARGE))
            await asyncio.sleep(0.05)
        made = await stack.new_invite("a.eu")
        async with stack.operator() as operator:
            await operator.invites.revoke(made.invite_id)
        await until(stack.edges_are_up_to_date)
