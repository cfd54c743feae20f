"""Who waits at one hub for what happens at the other, over real sockets."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from functools import partial
from pathlib import Path

from support.hub import state, tenant_of
from support.hub_process import ready, settings
from support.postgres import Postgres
from support.redis_server import running_redis
from support.replicas import Replica, on_postgres, replicas

from towonel.api.audit import AuditItem
from towonel.api.invites import InviteIn
from towonel.api.keys import KeyIn
from towonel.client.hub import HubClient
from towonel.hub.app import serve
from towonel.hub.bounds import Bounds
from towonel.hub.store.db.transactions import wall_clock_ms
from towonel.hub.timing import Timing
from towonel.identity.keys import NodeKey
from towonel.wire.errors import Code, Denied
from towonel.wire.tokens import EdgeToken, InviteToken

MOST = Bounds().edge_requests  # that one edge may have
WITHOUT_POLLING = Timing(health_check_s=600, maintenance_s=600)  # what arrives in time was pushed


@contextlib.asynccontextmanager
async def pair(
    server: Postgres, folder: Path, timing: Timing | None = None
) -> AsyncGenerator[tuple[Replica, Replica]]:
    name = server.database().url.database
    assert name
    where = on_postgres(server.dsn(name))
    async with (
        running_redis(folder) as url,
        replicas(folder, timing, **where, TOWONEL_REDIS_URL=url) as two,
    ):
        yield two


async def edge_of(replica: Replica) -> tuple[NodeKey, str]:
    created = await replica.client.edge_invites.create("edge")
    return NodeKey.from_seed(EdgeToken.decode(created.token).seed), created.invite_id


async def test_a_change_at_one_hub_wakes_edges_at_the_other_without_a_look(
    server: Postgres, tmp_path: Path
) -> None:
    async with pair(server, tmp_path, WITHOUT_POLLING) as (one, two):
        created = await one.client.invites.create(InviteIn(hostnames=["a.eu"]))
        tenant = tenant_of(InviteToken.decode(created.token))
        async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
            waiting = [
                tasks.create_task(two.client.follow_routes(two.node, 0, 30)) for _ in range(MOST)
            ]
            await two.until("towonel_hub_route_waiters", MOST)
            await one.client.apply_desired_state(tenant, state("a.eu"))

    assert {route.key for task in waiting for route in task.result().routes} == {"https:a.eu"}


async def test_an_edge_that_is_revoked_at_one_hub_is_cut_off_at_the_other(
    server: Postgres, tmp_path: Path
) -> None:
    async with pair(server, tmp_path) as (one, two):
        edge, invite_id = await edge_of(one)
        since = (await two.client.follow_routes(edge, None)).revision
        async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
            waiting = tasks.create_task(code_of(two.client, edge, since))
            await two.until("towonel_hub_route_waiters", 1)
            await one.client.edge_invites.revoke(invite_id)

    assert waiting.result() is Code.EDGE_UNKNOWN


async def code_of(client: HubClient, edge: NodeKey, since: int) -> Code | None:
    try:
        await client.follow_routes(edge, since, 30)
    except Denied as error:
        return error.code
    return None


async def test_events_of_one_hub_show_the_writes_of_both_in_their_order(
    server: Postgres, tmp_path: Path
) -> None:
    seen: dict[int, list[AuditItem]] = {0: [], 1: []}
    async with pair(server, tmp_path) as both:

        async def follow(number: int) -> None:
            async with contextlib.aclosing(both[number].client.audit.follow()) as events:
                async for event in events:
                    seen[number].append(event)
                    if len(seen[number]) == 20:
                        return

        async with asyncio.timeout(30), asyncio.TaskGroup() as tasks:
            for number, replica in enumerate(both):
                tasks.create_task(follow(number))
                await replica.until("towonel_hub_event_followers", 1)
            for number in range(20):
                invite = InviteIn(hostnames=[f"n{number}.eu"])
                tasks.create_task(both[number % 2].client.invites.create(invite))
        page = (await both[0].client.audit.list(limit=20)).audit

    assert seen[0] == seen[1] == page[::-1]
    assert [item.id for item in seen[0]] == sorted(item.id for item in seen[0])


async def test_a_stream_of_events_ends_when_its_key_is_revoked_at_the_other_hub(
    server: Postgres, tmp_path: Path
) -> None:
    async with pair(server, tmp_path) as (one, two):
        made = await one.client.keys.create(KeyIn(name="ci", role="viewer"))
        async with (
            HubClient(two.client.base_url, operator_key=made.key) as follower,
            asyncio.timeout(20),
            asyncio.TaskGroup() as tasks,
        ):
            following = tasks.create_task(drained(follower))
            await two.until("towonel_hub_event_followers", 1)
            await one.client.keys.revoke(made.key_id)

    assert [event.action for event in following.result()] in ([], ["key.revoked"])


async def drained(client: HubClient) -> list[AuditItem]:
    async with contextlib.aclosing(client.audit.follow()) as events:
        return [event async for event in events]


async def test_a_hub_that_stops_lets_all_who_wait_go_at_once(tmp_path: Path) -> None:
    chosen = settings(tmp_path / "state", TOWONEL_HUB_DRAIN_TIMEOUT_SECS="60")
    stopping, edges = asyncio.Event(), contextlib.AsyncExitStack()
    async with asyncio.timeout(30), edges, asyncio.TaskGroup() as tasks:
        hub = tasks.create_task(serve(chosen, stopping))
        await ready(chosen, hub)
        url = f"http://127.0.0.1:{chosen.listen_addr[1]}"
        node = NodeKey.from_seed((chosen.data_dir / "node.key").read_bytes())
        key = (chosen.data_dir / "operator.key").read_text()
        operator = await edges.enter_async_context(HubClient(url, operator_key=key))
        waiter = Replica(chosen, operator, node)
        # Each at another time: they share a key, and a request that is repeated is refused.
        times = [partial(int, wall_clock_ms() + 100 * number) for number in range(MOST)]
        clients = [await edges.enter_async_context(HubClient(url, now_ms=now)) for now in times]
        polls = [tasks.create_task(client.follow_routes(node, 0, 30)) for client in clients]
        events = tasks.create_task(drained(operator))
        await waiter.until("towonel_hub_route_waiters", MOST)
        await waiter.until("towonel_hub_event_followers", 1)
        stopping.set()

    assert {poll.result().revision for poll in polls} == {0}
    assert events.result() == []
