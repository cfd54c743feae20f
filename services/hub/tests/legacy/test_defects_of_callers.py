"""The original's defects in how it meets edges, strangers and crowds; `test_defects.py` numbers them."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from ipaddress import ip_network
from typing import Any

from sqlmodel import SQLModel, func, select
from support.hub import TestHub, new_key, registration, running_hub, state, tenant_of
from support.legacy_client import Token, authorization, legacy_client
from support.replicas import retried

from towonel.client.hub import HubClient
from towonel.hub.context import Policy
from towonel.hub.core.rate_limits import Rate
from towonel.hub.live.rate_limits import MemoryLimiter
from towonel.hub.live.route_changes import RouteChanges
from towonel.hub.store.db.database import Database
from towonel.hub.store.tables import AgentRow, EdgeRow, NonceRow, ReportRow
from towonel.identity.keys import NodeKey, TenantKey
from towonel.wire.errors import Code, Denied
from towonel.wire.tokens import EdgeToken

OPEN = {"/v1/health", "/v1/openapi.json"}  # who the hub is, and how it is asked
SIGNED = {  # what a node signs, and for what
    "POST /v1/agent/heartbeat": "towonel/agent-heartbeat/v1",
    "POST /v1/edges/register": "towonel/edge-register/v1",
    "POST /v1/edges/report": "towonel/edge-report/v1",
    "GET /v1/routes/feed": "towonel/edge-sub/v1",
    "GET /v1/routes/subscribe": "towonel/edge-sub/v1",
}


async def rows(hub: TestHub) -> dict[str, int]:
    tables: list[type[SQLModel]] = [AgentRow, EdgeRow, NonceRow, ReportRow]
    async with hub.context.store.read() as session:
        return {
            table.__name__: (await session.exec(select(func.count()).select_from(table))).one()
            for table in tables
        }


async def test_what_strangers_sign_leaves_nothing_behind(hub: TestHub) -> None:
    limiter = hub.context.limiter
    assert isinstance(limiter, MemoryLimiter)
    async with legacy_client(hub) as agent:
        key = await agent.tenant("a.eu")
        before, statuses = await rows(hub), set[int]()
        for _ in range(5):
            outsider = new_key()
            statuses.add((await agent.heartbeat(outsider, key.tenant_id)).status_code)
            body = registration(outsider).model_dump_json().encode()
            for request, domain in SIGNED.items():
                method, path = request.split()
                sent = body if method == "POST" else b""
                header = authorization(outsider, domain, sent, hub.clock())
                answer = await agent.http.request(
                    method, path, content=sent, headers={"authorization": header}
                )
                statuses.add(answer.status_code)

    assert statuses == {400, 401, 403}
    assert await rows(hub) == before
    assert limiter._nonces == {}


async def follow(client: HubClient, edge: NodeKey, wanted: set[str]) -> dict[str, bytes]:
    """Follow the routes as an edge does, until it has those."""
    table, revision = dict[str, bytes](), None
    async with asyncio.timeout(60):  # where others keep the machine busy
        while set(table) != wanted:
            delta = await client.follow_routes(edge, revision, 25)
            table = {} if delta.snapshot else table
            table |= {route.key: route.tenant_id for route in delta.routes}
            table = {key: tenant for key, tenant in table.items() if key not in delta.removed}
            revision = delta.revision
    return table


async def test_no_change_is_lost_between_a_table_and_the_wait_for_the_next(hub: TestHub) -> None:
    names = [f"n{number}.a.eu" for number in range(20)]
    async with legacy_client(hub) as agent, asyncio.TaskGroup() as tasks:
        key, edge, client = await agent.tenant("*.a.eu"), await agent.edge(), hub.client()
        await agent.accept(key, 1, "upsert_agent", agent_id=new_key().public)
        # A hub that is busy says 503 to an edge that it has not seen yet.
        await retried(lambda: client.follow_routes(edge, None))

        async def subscribed() -> Any:
            async with agent.subscribed(edge) as stream:
                return await stream.table_with(*names)

        following = [
            tasks.create_task(follow(client, edge, {f"https:{name}" for name in names}))
            for _ in range(3)
        ]
        tables = [tasks.create_task(subscribed()) for _ in range(3)]
        for number in range(len(names)):
            await client.apply_desired_state(key, state(*names[: number + 1]))

    assert all(set(task.result().values()) == {key.tenant_id} for task in following)
    assert len({str(task.result()) for task in tables}) == 1


async def test_a_change_that_comes_while_a_table_is_made_is_told_next(hub: TestHub) -> None:
    busy, free = ThreadPoolExecutor(1), threading.Event()
    asyncio.get_running_loop().set_default_executor(busy)
    async with legacy_client(hub) as agent:
        key, edge = await agent.tenant("*.a.eu"), await agent.edge()
        await agent.accept(key, 1, "upsert_agent", agent_id=new_key().public)
        await agent.accept(key, 2, "upsert_hostname", hostname="a.a.eu")
        await hub.context.edge_reports.refresh(hub.clock())
        held = busy.submit(free.wait)
        async with agent.subscribed(edge) as stream, asyncio.timeout(20):
            while not busy._work_queue.qsize():  # the table is made, and waits to be encoded
                await asyncio.sleep(0.01)
            await agent.accept(key, 3, "upsert_hostname", hostname="b.a.eu")
            free.set()

            assert set((await stream.table())["routes"]) == {"a.a.eu"}
            assert set((await stream.table())["routes"]) == {"a.a.eu", "b.a.eu"}
    assert held.result()


async def test_an_edge_that_is_revoked_is_cut_off_from_what_it_follows(hub: TestHub) -> None:
    client = hub.client()
    made = await client.edge_invites.create("second")
    edge = NodeKey.from_seed(EdgeToken.decode(made.token).seed)

    async def waiting() -> Code | None:
        revision = (await client.follow_routes(edge, None)).revision
        try:
            await client.follow_routes(edge, revision, 25)
        except Denied as error:
            return error.code
        return None

    async with legacy_client(hub) as agent, agent.subscribed(edge) as stream:
        await stream.table()
        async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
            follower = tasks.create_task(waiting())
            while hub.context.route_changes.waiting < 2:
                await asyncio.sleep(0.01)
            await client.edge_invites.revoke(made.invite_id)

        assert await stream.ended()
    assert follower.result() is Code.EDGE_UNKNOWN


async def test_nothing_is_read_without_a_key(hub: TestHub) -> None:
    tenant = tenant_of(await hub.invite("a.eu"))
    ids = {"tenant_id": tenant.tenant_id.hex(), "key": "https:a.eu", "agent_id": "00" * 32}
    reported_to_nobody = dict[str, int]()
    app = hub.app
    async with hub.raw() as http:
        for path, methods in app.openapi()["paths"].items():
            if "get" in methods and path not in OPEN:
                filled = path
                for name in ("invite_id", "key_id", "edge_id", "reservation_id", *ids):
                    filled = filled.replace(f"{{{name}}}", ids.get(name, "x"))
                reported_to_nobody[path] = (await http.get(filled)).status_code

    assert len(reported_to_nobody) > 15
    assert set(reported_to_nobody.values()) == {401}


async def test_clients_behind_one_proxy_do_not_share_a_limit(database: Database) -> None:
    behind: dict[str, Any] = {"proxies": (ip_network("127.0.0.0/8"),)}
    behind["per_address"] = Rate(0.001, 2)
    async with running_hub(database, RouteChanges(), **behind) as hub, hub.raw() as http:

        async def requested(client: str) -> int:
            body = {"invite_id": "A" * 22, "invite_secret": "AAAA"}
            headers = {"x-forwarded-for": f"6.6.6.6, {client}"}
            return (await http.post("/v1/bootstrap", json=body, headers=headers)).status_code

        one = [await requested("198.51.100.1") for _ in range(3)]
        other = [await requested("198.51.100.2") for _ in range(3)]

    assert one == other == [404, 404, 429]


async def test_the_boot_of_an_original_agent_fits_the_default_limit(database: Database) -> None:
    names = [f"n{number}.a.eu" for number in range(10)]
    rate = Policy().per_address
    async with (
        running_hub(database, RouteChanges(), per_address=rate) as hub,
        legacy_client(hub) as agent,
    ):
        token = Token.parse((await agent.invite(*names))["token"], "tt_inv_2_")
        key, me = TenantKey.from_seed(token.seed), new_key()
        booted = await agent.http.post("/v1/bootstrap", json=token.proof)
        await agent.accept(key, 1, "upsert_agent", agent_id=me.public)
        for sequence, name in enumerate(names, 1):
            await agent.accept(key, 2 * sequence, "upsert_hostname", hostname=name)
            mode = {"mode": "passthrough"}
            await agent.accept(key, 2 * sequence + 1, "set_hostname_tls", hostname=name, mode=mode)

        assert booted.status_code == 200
        assert (await agent.heartbeat(me, key.tenant_id)).status_code == 200
        assert len(await agent.log(key.tenant_id)) == 21
