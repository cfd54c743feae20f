"""The original's heartbeats and its edges' subscription, as their own programs would see them."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator

import cbor2
import pytest
from sqlalchemy import event
from support import vectors
from support.hub import TestHub, new_key
from support.legacy_client import LegacyClient, authorization, body_of, known_tenant, legacy_client

from towonel.api.services import DesiredState, ServiceIn
from towonel.hub.store.legacy import heartbeats
from towonel.hub.timing import Timing
from towonel.identity.keys import NodeKey, TenantKey
from towonel.wire.errors import Unavailable

VECTORS = vectors.load("entries")
TABLES = vectors.load("legacy_table")
BEAT = "towonel/agent-heartbeat/v1"


@pytest.fixture
def timing() -> Timing:
    return Timing(route_stream_poll_s=0.02)


@pytest.fixture
async def node(hub: TestHub) -> AsyncGenerator[LegacyClient]:
    async with legacy_client(hub) as made:
        yield made


async def published(node: LegacyClient, *hostnames: str) -> tuple[TenantKey, NodeKey]:
    """A tenant with one agent that publishes these."""
    key, agent = await node.tenant(*hostnames), new_key()
    await node.accept(key, 1, "upsert_agent", agent_id=agent.public)
    for sequence, hostname in enumerate(hostnames, 2):
        await node.accept(key, sequence, "upsert_hostname", hostname=hostname)
    return key, agent


async def test_a_heartbeat_says_when_to_call_again(node: LegacyClient) -> None:
    key, agent = await published(node, "a.eu")
    sent = await node.heartbeat(agent, key.tenant_id)

    assert sent.status_code == 200
    assert sent.json() == {"status": "ok", "next_interval_secs": 20}


async def test_a_heartbeat_counts_once_for_its_body_and_not_for_long(node: LegacyClient) -> None:
    key, agent = await published(node, "a.eu")
    now, beat = node.hub.clock(), {"tenant_id": key.tenant_id, "agent_id": agent.public}
    body = cbor2.dumps(beat)

    async def sent(header: str, content: bytes = body) -> int:
        headers = {"authorization": header}
        path = "/v1/agent/heartbeat"
        return (await node.http.post(path, content=content, headers=headers)).status_code

    good = authorization(agent, BEAT, body, now)
    assert await sent(good) == 200
    assert await sent(good) == 401
    assert await sent(authorization(agent, BEAT, b"", now + 1)) == 400
    assert await sent(authorization(agent, "towonel/edge-sub/v1", body, now + 2)) == 400
    assert await sent(authorization(agent, BEAT, body, now - 300_001)) == 401
    assert await sent(authorization(agent, BEAT, body, now + 300_001)) == 401
    assert await sent(authorization(agent, BEAT, body, now + 300_000)) == 200
    assert await sent(authorization(agent, BEAT, b"no", now + 3), b"no") == 400


async def test_only_an_agent_that_its_tenant_named_is_heard(node: LegacyClient) -> None:
    key, agent = await published(node, "a.eu")
    other, theirs = await published(node, "b.eu")
    await node.accept(key, 3, "revoke_agent", agent_id=agent.public)

    assert body_of(await node.heartbeat(agent, key.tenant_id)) == (403, "tenant_not_allowed")
    assert body_of(await node.heartbeat(new_key(), key.tenant_id)) == (403, "tenant_not_allowed")
    assert body_of(await node.heartbeat(theirs, key.tenant_id)) == (403, "tenant_not_allowed")
    assert body_of(await node.heartbeat(theirs, bytes(32))) == (403, "tenant_not_allowed")
    signed_for_another = await node.heartbeat(agent, other.tenant_id, theirs.public)
    assert body_of(signed_for_another) == (401, "unauthorized")
    assert (await node.heartbeat(theirs, other.tenant_id)).status_code == 200


async def test_the_heartbeat_of_the_vectors_is_read_as_what_it_says(node: LegacyClient) -> None:
    body = bytes.fromhex(VECTORS["heartbeat"]["body"])
    agent = new_key()
    headers = {"authorization": authorization(agent, BEAT, body, node.hub.clock())}
    sent = await node.http.post("/v1/agent/heartbeat", content=body, headers=headers)
    said = {
        "tenant_id": bytes.fromhex(VECTORS["heartbeat"]["tenant_id"]),
        "agent_id": bytes.fromhex(VECTORS["heartbeat"]["agent_id"]),
    }

    assert cbor2.dumps(said) == body  # as `Original.heartbeat` writes it
    assert body_of(sent) == (401, "unauthorized")
    assert "not signed by the agent" in sent.json()["error"]["message"]


async def test_an_edge_gets_the_tables_of_the_vectors_byte_for_byte(node: LegacyClient) -> None:
    edge = await node.edge()
    key = await known_tenant(node.hub, bytes.fromhex(VECTORS["seed"]), "*.example.eu")
    async with node.subscribed(edge) as stream:
        assert await stream.event() == ("routes", bytes.fromhex(TABLES["empty"]))
        await node.accept(
            key, 1, "upsert_agent", agent_id=bytes.fromhex(VECTORS["heartbeat"]["agent_id"])
        )
        await node.accept(key, 2, "upsert_hostname", hostname="*.example.eu")

        assert await stream.event() == ("routes", bytes.fromhex(TABLES["wildcard"]))


async def test_a_table_has_every_part_and_leaves_out_what_is_empty(node: LegacyClient) -> None:
    edge = await node.edge()
    key, agent = await published(node, "a.eu", "*.a.eu")
    mode = {"mode": "terminate"}
    await node.accept(key, 4, "set_hostname_tls", hostname="*.a.eu", mode=mode)
    await node.accept(key, 5, "upsert_tcp_service", service="ssh", listen_port=2222)
    async with node.subscribed(edge) as stream:
        table = await stream.table()

    ssh = {"tenant": key.tenant_id, "service": "ssh"}
    assert list(table) == ["routes", "tls_policies", "tcp_routes", "tcp_listeners"]
    assert table["routes"] == {"a.eu": [agent.public], "*.a.eu": [agent.public]}
    assert table["tls_policies"]["policies"]["*.a.eu"] == mode
    assert [(dict(at), serving) for at, serving in table["tcp_routes"].items()] == [
        (ssh, [agent.public])
    ]
    assert table["tcp_listeners"] == {2222: ssh}


async def test_a_range_of_ports_is_not_in_a_table_that_knows_none(node: LegacyClient) -> None:
    edge = await node.edge()
    key, _ = await published(node, "a.eu")
    game = ServiceIn(kind="tcp", name="game", port=3000, last_port=3009)
    wanted = DesiredState(group="g", services=[game])
    await node.hub.client().apply_desired_state(key, wanted)
    async with node.subscribed(edge) as stream:
        assert list(await stream.table()) == ["routes"]


async def test_every_agent_of_a_tenant_serves_all_that_it_publishes(node: LegacyClient) -> None:
    edge = await node.edge()
    key, agent = await published(node, "a.eu", "b.eu")
    second = new_key()
    await node.accept(key, 4, "upsert_agent", agent_id=second.public)
    async with node.subscribed(edge) as stream:
        both = await stream.table()
        await node.accept(key, 5, "revoke_agent", agent_id=agent.public)
        one = await stream.table()

    expected = sorted([agent.public, second.public])
    assert both["routes"] == {"a.eu": expected, "b.eu": expected}
    assert one["routes"] == {"a.eu": [second.public], "b.eu": [second.public]}


async def test_a_stream_is_of_events_and_who_asks_twice_with_one_signature_is_refused(
    node: LegacyClient,
) -> None:
    edge, now = await node.edge(), node.hub.clock()
    async with node.subscribed(edge) as stream:
        assert await stream.status() == 200
        assert await stream.table() == {"routes": {}}
        header = authorization(edge, "towonel/edge-sub/v1", b"", now)
        again = await node.http.get("/v1/routes/subscribe", headers={"authorization": header})

    assert again.status_code == 401


async def test_one_signature_asks_for_the_routes_in_either_form(node: LegacyClient) -> None:
    edge, now = await node.edge(), node.hub.clock()
    headers = {"authorization": authorization(edge, "towonel/edge-sub/v1", b"", now)}
    async with node.subscribed(edge) as stream:
        await stream.table()
        feed = [await node.http.get("/v1/routes/feed", headers=headers) for _ in range(2)]

    assert [answer.status_code for answer in feed] == [200, 401]


async def test_an_edge_that_leaves_interrupts_no_read_of_the_database(node: LegacyClient) -> None:
    edge, broken = await node.edge(), list[object]()
    event.listen(node.hub.context.store.engine, "invalidate", lambda *said: broken.append(said))
    for _ in range(5):
        async with node.subscribed(edge) as stream:
            assert await stream.status() == 200  # and it reads who is there

    assert broken == []
    assert not node.hub.context.subscribers


async def test_no_proxy_keeps_a_table_to_itself(node: LegacyClient) -> None:
    async with node.subscribed(await node.edge()) as stream:
        headers = dict((await stream.messages.get())["headers"])
        await stream.table()

    assert headers[b"content-type"].startswith(b"text/event-stream")
    assert headers[b"cache-control"] == b"no-store"
    assert headers[b"x-accel-buffering"] == b"no"


async def test_a_stranger_and_a_revoked_edge_are_unauthorized(node: LegacyClient) -> None:
    edge = await node.edge()
    listed = await node.hub.client().edge_invites.list()
    await node.delete(f"/v1/edge-invites/{listed.invites[0].invite_id}")

    for key in (edge, new_key()):
        header = authorization(key, "towonel/edge-sub/v1", b"", node.hub.clock())
        sent = await node.http.get("/v1/routes/subscribe", headers={"authorization": header})
        assert body_of(sent) == (401, "unauthorized")
    assert body_of(await node.http.get("/v1/routes/subscribe")) == (401, "unauthorized")


async def test_a_quiet_stream_says_that_it_is_alive(node: LegacyClient) -> None:
    async with node.subscribed(await node.edge()) as stream:
        await stream.table()
        async with asyncio.timeout(20):
            said = [await stream.messages.get() for _ in range(3)]

    assert {message["body"][:1] for message in said} == {b":"}
    assert Timing().route_stream_poll_s == 15


@contextlib.asynccontextmanager
async def no_database(hub: TestHub, patched: pytest.MonkeyPatch) -> AsyncGenerator[None]:
    """Every connection is in use, so that nobody gets one."""
    patched.setattr(hub.context.store._engine.pool, "_timeout", 0.05)
    async with contextlib.AsyncExitStack() as stack:
        held = 0
        while held < 10:
            with contextlib.suppress(Unavailable):  # the stream has one now and then
                await stack.enter_async_context(hub.context.store.read())
                held += 1
        yield


async def test_a_stream_without_a_database_holds_to_what_it_said(
    node: LegacyClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    await published(node, "a.eu")
    async with node.subscribed(await node.edge()) as stream:
        await stream.table_with("a.eu")
        async with no_database(node.hub, monkeypatch):
            node.hub.clock.now_ms += heartbeats.HEARTBEAT_MS  # nobody can tell who is there
            held = [await stream.block() for _ in range(3)]
        after = await stream.table()

    assert all(block.startswith(b":") for block in held)
    assert after == {"routes": {}}


async def test_a_heartbeat_from_before_the_clock_was_put_back_is_none(node: LegacyClient) -> None:
    key, agent = await published(node, "a.eu")
    node.hub.clock.now_ms += 3 * 3_600_000
    assert (await node.heartbeat(agent, key.tenant_id)).status_code == 200
    async with node.hub.context.store.read() as session:
        before = await heartbeats.find_running(session, node.hub.clock())
        after = await heartbeats.find_running(session, node.hub.clock() - 3 * 3_600_000)

    assert before == [(key.tenant_id, agent.public)]
    assert after == []


async def test_a_stopping_hub_ends_the_stream(node: LegacyClient) -> None:
    async with node.subscribed(await node.edge()) as stream:
        await stream.table()
        node.hub.context.stop()

        assert await stream.ended()
    assert not node.hub.context.subscribers


async def test_who_is_not_heard_for_90_s_is_not_in_the_table(node: LegacyClient) -> None:
    key, agent = await published(node, "a.eu")
    node.hub.clock.now_ms += 90_000 - 2
    async with node.subscribed(await node.edge()) as stream:
        assert set((await stream.table())["routes"]) == {"a.eu"}
        node.hub.clock.now_ms += 2
        assert await stream.table() == {"routes": {}}
        assert (await node.heartbeat(agent, key.tenant_id)).status_code == 200

        assert set((await stream.table())["routes"]) == {"a.eu"}
