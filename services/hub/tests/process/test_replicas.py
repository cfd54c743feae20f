"""Two hubs on one Postgres and one Redis are one hub: it does not matter which of them is asked."""

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest
from support.callers import code_of
from support.hub import TestHub, new_key, registration, state, tenant_of
from support.postgres import Postgres
from support.redis_server import running_redis
from support.replicas import hubs

from towonel.api.agents import BootstrapIn, RefreshIn
from towonel.api.invites import InviteIn, InviteOut
from towonel.api.keys import KeyIn
from towonel.api.reports import EdgeReport, SessionReport, TenantTraffic
from towonel.client.hub import HubClient
from towonel.hub import background
from towonel.hub.backup.check import problems
from towonel.hub.core.rate_limits import FREE_STRIKES, Rate
from towonel.hub.store import retention
from towonel.identity.keys import NodeKey, TenantKey
from towonel.identity.signatures import (
    Domain,
    authorize_node,
    authorize_tenant,
    authorize_tenant_request,
)
from towonel.wire import base64url
from towonel.wire.errors import Code, TowonelError
from towonel.wire.ids import AgentId, TenantId
from towonel.wire.legacy.heartbeat import Heartbeat, encode_heartbeat
from towonel.wire.tokens import EdgeToken, InviteToken

pytestmark = pytest.mark.both_databases

NEVER = Rate(per_second=0.001, burst=4)
type Pair = tuple[TestHub, TestHub]
type Requested = tuple[str, str, bytes, str]  # method, path, body, Authorization


@pytest.fixture
async def redis_url(tmp_path: Path) -> AsyncGenerator[str]:
    async with running_redis(tmp_path) as url:
        yield url


async def test_requests_of_one_key_are_counted_together(server: Postgres, redis_url: str) -> None:
    async with hubs(server.database(), redis_url, per_key=NEVER) as pair:
        for hub in (*pair, *pair):
            await hub.client().invites.list()
        codes = [await code_of(hub.client().invites.list()) for hub in pair]

    assert codes == [Code.RATE_LIMITED] * 2


async def test_requests_of_one_address_are_counted_together(
    server: Postgres, redis_url: str
) -> None:
    async with hubs(server.database(), redis_url, per_address=NEVER) as pair:
        token = await pair[0].invite("a.eu")
        for hub in (*pair, *pair):
            await hub.client().bootstrap(token, new_key(), "g")
        codes = [await code_of(hub.client().bootstrap(token, new_key(), "g")) for hub in pair]

    assert codes == [Code.RATE_LIMITED] * 2


async def test_who_guesses_at_both_is_locked_out_of_both(server: Postgres, redis_url: str) -> None:
    async with hubs(server.database(), redis_url) as pair:
        for number in range(FREE_STRIKES + 1):
            guess = pair[number % 2].client("wrong").invites.list()
            assert await code_of(guess) is Code.UNAUTHORIZED
        codes = [await code_of(hub.client().invites.list()) for hub in pair]

    assert codes == [Code.RATE_LIMITED] * 2


def node_asks(
    hub: TestHub, key: NodeKey, path: str, domain: Domain, body: bytes = b""
) -> Requested:
    header = authorize_node(key, domain, body, hub.clock())
    return ("POST" if body else "GET", path, body, header)


async def every_signed_request(hub: TestHub) -> dict[str, Requested]:
    """One good request of each kind that is signed."""
    token, agent = await hub.invite("a.eu"), new_key()
    grant = (await hub.client().bootstrap(token, agent, "g")).grant or ""
    hub.clock.now_ms += 1
    return {
        "refresh": node_asks(
            hub,
            agent,
            "/v1/agent/refresh",
            Domain.AGENT_REFRESH,
            RefreshIn(grant=grant).model_dump_json().encode(),
        ),
        **agents_requests(hub, agent, token),
        **edges_requests(hub, agent, token),
        **tenants_requests(tenant_of(token), hub.clock()),
    }


def agents_requests(hub: TestHub, agent: NodeKey, token: InviteToken) -> dict[str, Requested]:
    tenant = TenantId(tenant_of(token).tenant_id)
    beat = encode_heartbeat(Heartbeat(tenant, AgentId(agent.public)))
    wanted = BootstrapIn(
        invite_id=base64url.encode(token.invite_id),
        invite_secret=base64url.encode(token.secret),
        agent_id=agent.public,
        group="g",
    )
    body = wanted.model_dump_json().encode()
    return {
        "bootstrap": node_asks(hub, agent, "/v1/bootstrap", Domain.AGENT_BOOTSTRAP, body),
        "heartbeat": node_asks(hub, agent, "/v1/agent/heartbeat", Domain.AGENT_HEARTBEAT, beat),
    }


def edges_requests(hub: TestHub, agent: NodeKey, token: InviteToken) -> dict[str, Requested]:
    node = hub.context.keys.node
    updates = report(agent, tenant_of(token).tenant_id).model_dump_json().encode()
    known = registration(node).model_dump_json().encode()
    return {
        "register": node_asks(hub, node, "/v1/edges/register", Domain.EDGE_REGISTER, known),
        "report": node_asks(hub, node, "/v1/edges/report", Domain.EDGE_REPORT, updates),
        "feed": node_asks(hub, node, "/v1/routes/feed", Domain.EDGE_SUBSCRIBE),
    }


def tenants_requests(tenant: TenantKey, now_ms: int) -> dict[str, Requested]:
    wanted = state("a.eu").model_dump_json().encode()
    signed = authorize_tenant(tenant, Domain.DESIRED_STATE, wanted, now_ms)
    log = f"/v1/tenants/{tenant.tenant_id.hex()}/entries"
    return {
        "desired state": ("PUT", "/v1/desired-state", wanted, signed),
        "tenant's log": ("GET", log, b"", authorize_tenant_request(tenant, now_ms)),
    }


async def test_a_signed_request_is_taken_by_one_of_them_once(
    server: Postgres, redis_url: str
) -> None:
    async with hubs(server.database(), redis_url) as pair:
        requests = await every_signed_request(pair[0])
        pair[1].clock.now_ms = pair[0].clock.now_ms
        answers = {
            name: [await answer_to(hub, requested) for hub in (*pair, pair[0])]
            for name, requested in requests.items()
        }

    assert answers == {name: ["ok", "replayed", "replayed"] for name in requests}


async def test_of_two_that_get_a_signed_request_at_once_one_takes_it(
    server: Postgres, redis_url: str
) -> None:
    answers: dict[str, list[str]] = {}
    async with hubs(server.database(), redis_url) as pair:
        requests = await every_signed_request(pair[0])
        pair[1].clock.now_ms = pair[0].clock.now_ms
        for name, requested in requests.items():
            async with asyncio.TaskGroup() as tasks:
                asking = [tasks.create_task(answer_to(hub, requested)) for hub in (*pair, *pair)]
            answers[name] = sorted(task.result() for task in asking)

    # Of reports, those that come while another is taken are told to wait.
    told = {code for answer in answers.values() for code in answer[1:]}
    assert {name: answer[0] for name, answer in answers.items()} == dict.fromkeys(requests, "ok")
    assert {len(answer) for answer in answers.values()} == {4}
    assert "ok" not in told
    assert told - {"rate_limited"} == {"replayed"}
    assert [name for name, answer in answers.items() if "rate_limited" in answer] in (
        [],
        ["report"],
    )


async def answer_to(hub: TestHub, requested: Requested) -> str:
    method, path, body, header = requested
    async with hub.raw() as http:
        answer = await http.request(method, path, content=body, headers={"authorization": header})
    return "ok" if answer.is_success else str(answer.json()["error"]["code"])


def report(agent: NodeKey, tenant_id: bytes) -> EdgeReport:
    session = SessionReport(
        session_id=b"\xab" * 16,
        agent_id=agent.public,
        tenant_id=tenant_id,
        group="g",
        peer="192.0.2.1:443",
        since_ms=1,
        services=["https:a.eu"],
        active_streams=3,
        software="towonel/1",
    )
    counts: dict[str, Any] = {"connections_active": 3, "connections_total": 9}
    counts |= {"bytes_in": 10, "bytes_out": 20}
    return EdgeReport(
        version="1",
        started_at_ms=1,
        is_final=False,
        sessions_active=1,
        sessions=[session],
        tenants=[TenantTraffic(tenant_id=tenant_id, **counts)],
        **counts,
    )


async def seen_live(hub: TestHub, agent: NodeKey, tenant_id: bytes) -> list[object]:
    client = hub.client()
    return [
        await client.agents.get(agent.public),
        await client.edges.get(hub.context.keys.node.public),
        (await client.tenants.get(tenant_id)).value,
        await client.services.get("https:a.eu"),
    ]


@pytest.mark.parametrize("ahead_ms", [0, 20_000, -20_000])
async def test_what_an_edge_reports_to_one_is_seen_at_both_whatever_their_clocks_say(
    server: Postgres, redis_url: str, ahead_ms: int
) -> None:
    async with hubs(server.database(), redis_url) as (one, two):
        node, agent, token = one.context.keys.node, new_key(), await one.invite("a.eu")
        tenant = tenant_of(token)
        await one.client().register_edge(node, registration(node))
        await one.client().bootstrap(token, agent, "g")
        await one.client().apply_desired_state(tenant, state("a.eu"))
        two.clock.now_ms += ahead_ms
        await two.context.edge_reports.refresh(two.clock())
        two.clock.now_ms += 2_000
        await one.client().report_edge(node, report(agent, tenant.tenant_id))
        seen = [await seen_live(hub, agent, tenant.tenant_id) for hub in (one, two)]

    assert seen[0] == seen[1]
    assert "is_live=True" in str(seen[0][0])


async def test_an_edge_may_tell_two_of_them_at_once_for_the_first_time(
    server: Postgres, redis_url: str
) -> None:
    reported: list[str] = []
    async with hubs(server.database(), redis_url) as (one, two):
        node, agent = one.context.keys.node, new_key()
        two.clock.now_ms += 500  # or their requests would be the same
        clients = [hub.client() for hub in (one, two) * 5]
        for number, client in enumerate(clients):
            client._transport._last_ms = one.clock.now_ms + 10 * number + 500 * (number % 2)

        async def tell(client: HubClient) -> None:
            try:
                await client.report_edge(node, report(agent, bytes(32)))
            except TowonelError as error:
                reported.append(error.code.word)

        async with asyncio.TaskGroup() as tasks:
            for client in clients:
                tasks.create_task(tell(client))

    # To be asked again; never a mistake of the hub's.
    assert set(reported) <= {"hub_unavailable", "rate_limited"}
    assert len(reported) < 10


async def test_a_create_with_one_idempotency_key_is_done_once_whoever_is_asked(
    server: Postgres, redis_url: str
) -> None:
    async with hubs(server.database(), redis_url) as (one, two):

        async def create(hub: TestHub) -> InviteOut:
            wanted = InviteIn(hostnames=["a.eu"])
            return await hub.client().invites.create(wanted, idempotency_key="k")

        async with asyncio.TaskGroup() as tasks:
            made = [tasks.create_task(create(hub)) for hub in (one, two) * 5]
        listed = (await two.client().invites.list()).invites

    assert len({task.result().token for task in made}) == 1
    assert len(listed) == 1


async def test_a_key_revoked_at_one_is_dead_at_the_other_at_once(
    server: Postgres, redis_url: str
) -> None:
    async with hubs(server.database(), redis_url) as (one, two):
        made = await one.client().keys.create(KeyIn(name="ci", role="viewer"))
        before = await two.client(made.key).keys.whoami()
        await one.client().keys.revoke(made.key_id)

        assert before.role == "viewer"
        assert await code_of(two.client(made.key).keys.whoami()) is Code.UNAUTHORIZED


async def test_when_a_key_was_used_last_is_never_set_back(server: Postgres, redis_url: str) -> None:
    async with hubs(server.database(), redis_url) as (one, two):
        made = await one.client().keys.create(KeyIn(name="ci", role="viewer"))
        await one.client(made.key).keys.whoami()
        two.clock.now_ms += 5_000
        await two.client(made.key).keys.whoami()
        await background.flush(two.context)
        await background.flush(one.context)
        retained = (await one.client().keys.get(made.key_id)).value

        assert retained.last_used_at is not None
        assert round(retained.last_used_at.timestamp() * 1000) == two.clock.now_ms


async def test_serving_ends_once_whichever_sees_that_first(
    server: Postgres, redis_url: str
) -> None:
    async with hubs(server.database(), redis_url) as (one, two):
        body, client = InviteIn(hostnames=["a.eu"], serves_for_secs=60), one.client()
        made = await client.invites.create(body)
        async with asyncio.TaskGroup() as tasks:
            for hub in (one, two) * 3:
                hub.clock.now_ms += 60_000
                tasks.create_task(background.end_serving(hub.context))
        await two.context.route_cache.catch_up()
        table = await two.client().follow_routes(two.context.keys.node, 0)
        (_,) = (await client.audit.list(action="tenant.serving_ended")).audit

    assert table.blocked == (made.tenant_id,)


async def test_retention_by_both_at_once_is_as_one(server: Postgres, redis_url: str) -> None:
    database = server.database()
    async with hubs(database, redis_url) as (one, two):
        client, tenant = one.client(), tenant_of(await one.invite("*.eu"))
        await client.apply_desired_state(tenant, state("a.eu", "b.eu"))
        await client.apply_desired_state(tenant, state("b.eu"))

        async def prune(hub: TestHub) -> None:
            async with hub.context.store.write() as write:
                write.now_ms += 2 * retention.DAY_MS
                await retention.prune(write)

        async with asyncio.TaskGroup() as tasks:
            for hub in (one, two) * 3:
                tasks.create_task(prune(hub))
        await two.context.route_cache.catch_up()
        routes = (await two.client().follow_routes(two.context.keys.node, 0)).routes

    assert [route.key for route in routes] == ["https:b.eu"]
    assert problems(database) == []


async def test_a_hub_that_has_just_started_tells_what_ended_before_it(hub: TestHub) -> None:
    client, node = hub.client(), hub.context.keys.node
    tenant = tenant_of(await hub.invite("*.eu"))
    whole = await client.apply_desired_state(tenant, state("a.eu", "b.eu"))
    await client.apply_desired_state(tenant, state("b.eu"))
    hub.context.route_cache.__init__(hub.context.store, hub.context.route_changes)  # type: ignore[misc] # as after a restart
    await hub.context.route_cache.catch_up()
    delta = await client.follow_routes(node, whole.revision)

    assert (delta.snapshot, delta.removed) == (False, ("https:a.eu",))


async def test_an_edge_that_knows_more_than_a_replica_is_not_set_back(
    server: Postgres, redis_url: str
) -> None:
    async with hubs(server.database(), redis_url) as (one, two):
        tenant = tenant_of(await one.invite("*.eu"))
        applied = await one.client().apply_desired_state(tenant, state("a.eu"))
        lags = two.context.route_cache.revision < applied.revision
        delta = await two.client().follow_routes(two.context.keys.node, applied.revision)

    assert lags  # the second one was told of nothing
    assert (delta.revision, delta.snapshot, delta.routes) == (applied.revision, False, ())


async def test_an_edge_that_was_invited_at_one_may_ask_the_other_at_once(
    server: Postgres, redis_url: str
) -> None:
    async with hubs(server.database(), redis_url) as (one, two):
        created = await one.client().edge_invites.create("edge")
        edge = NodeKey.from_seed(EdgeToken.decode(created.token).seed)
        table = await two.client().follow_routes(edge, None)
        await one.client().edge_invites.revoke(created.invite_id)
        code = await code_of(one.client().follow_routes(edge, None))

    assert table.snapshot
    assert code is Code.EDGE_UNKNOWN


async def test_strangers_who_ask_as_edges_are_bounded(server: Postgres, redis_url: str) -> None:
    async with hubs(server.database(), redis_url, per_address=NEVER) as (one, _):
        codes = [await code_of(one.client().follow_routes(new_key(), None)) for _ in range(5)]
        table = await one.client().follow_routes(one.context.keys.node, None)

    assert codes == [*[Code.EDGE_UNKNOWN] * 4, Code.RATE_LIMITED]
    assert table.snapshot
