"""What is sent to harm: every answer is an envelope, none is our fault, nobody else waits for it."""

import asyncio
import contextlib
import secrets
from collections.abc import Awaitable, Callable

import httpx
import pytest
from sqlmodel import select
from starlette.types import Receive, Scope, Send
from support.hub import TestHub, new_key, registration, state, tenant_of
from support.large_database import log_statements

from towonel.api.agents import RefreshIn
from towonel.api.services import DesiredState, ServiceIn
from towonel.hub.api.http.middleware import RequestMiddleware
from towonel.hub.api.http.problems import MAX_PROBLEMS
from towonel.hub.store import invites, retention
from towonel.hub.store.tables import InviteRow, NonceRow, RevisionRow
from towonel.identity.signatures import MAX_SKEW_MS, Domain, authorize_node, authorize_tenant
from towonel.wire import base64url
from towonel.wire.errors import Code, Denied, Unavailable
from towonel.wire.names import Hostname

OPERATOR = {"authorization": "Bearer operator-key", "content-type": "application/json"}


def refusal(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


async def test_a_thousand_mistakes_make_a_short_answer(hub: TestHub) -> None:
    body = {f"x{number}" * 5: 1 for number in range(1000)}
    async with hub.raw() as http:
        answer = await http.post("/v1/invites", json=body, headers=OPERATOR)
        signed = await http.post("/v1/bootstrap", json=body)

    assert answer.json()["error"]["message"].count(";") == MAX_PROBLEMS - 1
    assert signed.json()["error"]["message"].count(";") == MAX_PROBLEMS - 1


@pytest.mark.parametrize("grant", ["A", "", "AAAA"])
async def test_a_grant_that_is_none_is_invalid(hub: TestHub, grant: str) -> None:
    agent, body = new_key(), RefreshIn(grant=grant).model_dump_json().encode()
    header = authorize_node(agent, Domain.AGENT_REFRESH, body, hub.clock.now_ms)
    async with hub.raw() as http:
        answer = await http.post(
            "/v1/agent/refresh", content=body, headers={"authorization": header}
        )

    assert refusal(answer) == (401, "grant_invalid")


async def test_a_wrong_secret_keeps_no_writer_waiting_and_waits_for_none(hub: TestHub) -> None:
    token = await hub.invite("a.eu")
    body = {
        "invite_id": base64url.encode(token.invite_id),
        "invite_secret": base64url.encode(secrets.token_bytes(32)),
    }
    async with hub.raw() as http, hub.context.store.write(), asyncio.timeout(20):
        answer = await http.post("/v1/bootstrap", json=body)

    assert refusal(answer) == (401, "unauthorized")


async def test_a_thousand_names_of_a_hundred_labels_each_are_no_trouble(hub: TestHub) -> None:
    tenant = tenant_of(await hub.invite("*.example.eu"))
    deep = [f"n{number}." + "a." * 100 + f"x{number}.example.eu" for number in range(1000)]
    body = state(*deep).model_dump_json().encode()
    header = authorize_tenant(tenant, Domain.DESIRED_STATE, body, hub.clock.now_ms)
    async with hub.raw() as http:  # which waits, unlike a client, for as long as the hub works
        answer = await http.put(
            "/v1/desired-state", content=body, headers={"authorization": header}
        )

    assert len(answer.json()["created"]) == 1000


async def test_a_thousand_services_are_not_asked_for_one_by_one(hub: TestHub) -> None:
    tenant = tenant_of(await hub.invite("*.example.eu"))
    names = [f"n{number}.example.eu" for number in range(1000)]
    for hostnames in (names, names[:500], names):
        hub.clock.now_ms += 1
        with log_statements(hub.context.store.engine) as seen:
            await hub.client().apply_desired_state(tenant, state(*hostnames))
        assert seen.count < 50


async def test_a_thousand_services_are_the_most(hub: TestHub) -> None:
    tenant = tenant_of(await hub.invite("a.eu"))
    services = [ServiceIn(kind="tcp", name=f"s{n}", port=2000 + n) for n in range(1001)]
    body = DesiredState.model_construct(group="g", services=services).model_dump_json().encode()
    header = authorize_tenant(tenant, Domain.DESIRED_STATE, body, hub.clock.now_ms)
    async with hub.raw() as http:
        answer = await http.put(
            "/v1/desired-state", content=body, headers={"authorization": header}
        )

    assert refusal(answer) == (400, "invalid_request")


async def test_a_refused_request_leaves_no_trace_of_its_signature(hub: TestHub) -> None:
    outsider = new_key()
    for _ in range(3):
        with pytest.raises(Denied):
            await hub.client().register_edge(outsider, registration(outsider))
    await hub.client().register_edge(hub.context.keys.node, registration(hub.context.keys.node))
    async with hub.context.store.read() as session:
        signers = [row.signer for row in (await session.exec(select(NonceRow))).all()]

    assert signers == [hub.context.keys.node.public]


async def test_a_forged_signature_learns_nothing_of_a_tenant(hub: TestHub) -> None:
    token = await hub.invite("a.eu")
    await hub.client().invites.revoke(base64url.encode(token.invite_id))
    tenant_id = tenant_of(token).tenant_id.hex()
    headers = {"authorization": f"Signature {tenant_id}.{hub.clock.now_ms}.AAAA"}
    async with hub.raw() as http:
        answer = await http.put(
            "/v1/desired-state", content=state("a.eu").model_dump_json(), headers=headers
        )

    assert refusal(answer) == (400, "invalid_signature")


@pytest.mark.parametrize("skew_ms", [-1 - MAX_SKEW_MS, MAX_SKEW_MS + 1])
@pytest.mark.parametrize("call", ["register", "routes", "state", "refresh"])
async def test_a_clock_that_is_off_is_told_so_by_every_signed_call(
    hub: TestHub, skew_ms: int, call: str
) -> None:
    tenant, node = tenant_of(await hub.invite("a.eu")), hub.context.keys.node
    client = hub.client()
    client._transport._now_ms = lambda: hub.clock.now_ms + skew_ms
    calls: dict[str, Callable[[], Awaitable[object]]] = {
        "register": lambda: client.register_edge(node, registration(node)),
        "routes": lambda: client.follow_routes(node, None),
        "state": lambda: client.apply_desired_state(tenant, state("a.eu")),
        "refresh": lambda: client.refresh(b"grant", node),
    }
    with pytest.raises(Denied) as caught:
        await calls[call]()
    assert caught.value.code is Code.CLOCK_SKEW


@pytest.mark.parametrize("address", ["nowhere", "h:0", ":443", "h:65536", "::1:443", "h" * 300])
async def test_an_edge_must_be_where_it_can_be_dialled(hub: TestHub, address: str) -> None:
    key = hub.context.keys.node
    body = registration(key).model_copy(update={"addresses": ["127.0.0.1:443", address]})
    with pytest.raises(Denied) as caught:
        await hub.client().register_edge(key, body)
    assert caught.value.code is Code.INVALID_REQUEST


async def test_an_edge_that_asks_for_routes_was_seen(hub: TestHub) -> None:
    client, key = hub.client(), hub.context.keys.node
    await client.register_edge(key, registration(key))
    hub.clock.now_ms += 5_000
    await client.follow_routes(key, None)
    (listed,) = (await client.edges.list()).edges

    assert listed.last_seen_ms == hub.clock.now_ms


async def test_a_clock_set_back_does_not_bring_pruned_deletions_back(hub: TestHub) -> None:
    client = hub.client()
    tenant = tenant_of(await hub.invite("*.eu"))
    hub.clock.now_ms += 60_000
    for step_ms, names in ((0, ("a.eu", "b.eu")), (0, ("b.eu",)), (-50_000, ())):
        hub.clock.now_ms += step_ms
        await client.apply_desired_state(tenant, state(*names))
    for after_ms in (40_000, 51_000):  # the last deletion, by its clock the older, goes first
        async with hub.context.store.write() as change:
            change.now_ms += retention.TOMBSTONE_MS + after_ms
            await retention.prune(change)

    async with hub.context.store.read() as session:
        assert (await session.exec(select(RevisionRow.pruned))).one() == 3


async def test_when_every_connection_is_in_use_the_caller_is_told_to_come_back(
    hub: TestHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = hub.context.store._engine.pool
    monkeypatch.setattr(pool, "_timeout", 0.05)
    async with contextlib.AsyncExitStack() as stack:
        for _ in range(10):
            session = await stack.enter_async_context(hub.context.store.read())
            _ = await session.connection()
        with pytest.raises(Unavailable) as caught:
            async with hub.context.store.read() as session:
                _ = await session.connection()

    assert caught.value.code is Code.HUB_UNAVAILABLE
    assert caught.value.retry_after_s


async def test_a_name_that_another_replica_took_meanwhile_is_a_conflict(hub: TestHub) -> None:
    """On SQLite writes come one after the other; elsewhere only the index can tell."""
    await hub.invite("a.eu")
    row = InviteRow(
        invite_id=bytes(16),
        name="late",
        secret_hash=b"h",
        tenant_id=bytes(32),
        tenant_public_key=b"k",
        created_at_ms=0,
    )

    async def add() -> None:
        async with hub.context.store.write() as change:
            await invites.add_invite(change, row, [Hostname("b.eu"), Hostname("a.eu")])

    with pytest.raises(Denied) as caught:
        await add()
    assert caught.value.code is Code.HOSTNAME_CONFLICT
    assert len((await hub.client().invites.list()).invites) == 1


async def test_an_answer_that_breaks_off_half_way_is_not_made_whole(hub: TestHub) -> None:
    async def half(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise ZeroDivisionError

    transport = httpx.ASGITransport(RequestMiddleware(half, hub.context))
    async with httpx.AsyncClient(transport=transport, base_url="http://hub") as http:
        with pytest.raises(ZeroDivisionError):
            await http.get("/")

    assert hub.context.metrics.requests.labels("unmatched", "200")._value.get() == 1
