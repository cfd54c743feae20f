"""Requests for routes of one edge: so many at once, so that it does not take the places of others."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator

import pytest
from support.hub import TestHub, new_key, running_hub, state
from support.legacy_client import EVENT_S, legacy_client

from towonel.client.hub import HubClient
from towonel.hub.api.legacy.route_stream import _events
from towonel.hub.bounds import Bounds
from towonel.hub.live.route_changes import RouteChanges
from towonel.hub.store.db.database import Database
from towonel.identity.keys import NodeKey
from towonel.wire.errors import Code, Unavailable
from towonel.wire.tokens import EdgeToken

MOST = 2


@pytest.fixture
async def hub(database: Database) -> AsyncGenerator[TestHub]:
    async with running_hub(database, RouteChanges(), bounds=Bounds(edge_requests=MOST)) as hub:
        yield hub


async def new_edge(hub: TestHub) -> NodeKey:
    made = await hub.client().edge_invites.create("other")
    return NodeKey.from_seed(EdgeToken.decode(made.token).seed)


async def refusal(client: HubClient, edge: NodeKey) -> Code | None:
    try:
        await client.follow_routes(edge, None)
    except Unavailable as error:
        return error.code
    return None


async def test_an_edge_waits_with_so_many_requests_and_others_are_answered(hub: TestHub) -> None:
    client, edge, other = hub.client(), await new_edge(hub), await new_edge(hub)
    revision = (await client.follow_routes(edge, None)).revision
    async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
        for _ in range(MOST):
            tasks.create_task(client.follow_routes(edge, revision, 25))
        while hub.context.route_changes.waiting < MOST:
            await asyncio.sleep(0.01)
        codes = [await refusal(client, one) for one in (edge, other)]
        hub.context.route_changes.release()
        hub.context.stop()
    again = await refusal(client, edge)

    assert codes == [Code.RATE_LIMITED, None]
    assert again is None


async def test_streams_of_routes_count_among_them_until_they_end(hub: TestHub) -> None:
    client, edge = hub.client(), await new_edge(hub)
    async with legacy_client(hub) as agent:
        async with contextlib.AsyncExitStack() as streams:
            for _ in range(MOST):
                stream = await streams.enter_async_context(agent.subscribed(edge))
                await stream.table()
            code = await refusal(client, edge)
        async with asyncio.timeout(EVENT_S):
            while hub.context.subscribers:
                await asyncio.sleep(0.01)
        again = await refusal(client, edge)

    assert code is Code.RATE_LIMITED
    assert again is None


async def test_a_table_comes_in_parts_that_are_one_text(hub: TestHub) -> None:
    names = [f"{'n' * 50}{number}.a.eu" for number in range(1_000)]
    async with legacy_client(hub) as agent:
        key, edge = await agent.tenant("*.a.eu"), await agent.edge()
        await agent.accept(key, 1, "upsert_agent", agent_id=new_key().public)
        await hub.client().apply_desired_state(key, state(*names))
        async with agent.subscribed(edge) as stream:
            table = await stream.table()
            parts = [len(part) for part in stream.parts]

    assert set(table["routes"]) == set(names)
    assert max(parts) < 64 * 1024
    assert len(parts) > 3


async def test_streams_that_are_read_slowly_hold_an_equal_table_once(hub: TestHub) -> None:
    async with legacy_client(hub) as agent:
        key, edge = await agent.tenant("*.a.eu"), await agent.edge()
        await agent.accept(key, 1, "upsert_agent", agent_id=new_key().public)
        await hub.client().apply_desired_state(key, state("x.a.eu"))
        await hub.client().follow_routes(edge, None)  # so that the hub knows it
        context, sent = hub.context, list[bytes]()
        async with contextlib.AsyncExitStack() as streams:
            for _ in range(2):
                events = _events(context, edge.public)
                await streams.enter_async_context(contextlib.aclosing(events))
                sent += [await anext(events) for _ in range(2)]
            first, second = context.subscribers.values()

    assert sent == [b"", b"event: routes\ndata: "] * 2
    assert first
    assert first is second
    assert not context.subscribers
