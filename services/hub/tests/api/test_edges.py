"""Edges over the API: registration, and the feed of routes."""

import asyncio

import pytest
from support.hub import TestHub, new_key, registration, state, tenant_of

from towonel.api.invites import InviteIn
from towonel.hub import background
from towonel.hub.store import edges, retention
from towonel.identity.keys import NodeKey
from towonel.identity.signatures import Domain, authorize_node
from towonel.wire.errors import Code, Denied
from towonel.wire.tokens import EdgeToken


async def second_edge(hub: TestHub) -> tuple[NodeKey, str]:
    created = await hub.client().edge_invites.create("second")
    return NodeKey.from_seed(EdgeToken.decode(created.token).seed), created.invite_id


async def code_of(refused: object) -> Code:
    with pytest.raises(Denied) as caught:
        await refused  # type: ignore[misc]
    return caught.value.code


async def test_the_hubs_own_edge_and_invited_ones_register_and_are_listed(hub: TestHub) -> None:
    edge, _ = await second_edge(hub)
    client = hub.client()
    for key in (hub.context.keys.node, edge):
        answer = await client.register_edge(key, registration(key))
        assert answer.hub_node_id == hub.context.keys.node.public

    listed = {item.node_id: item for item in (await client.edges.list()).edges}
    assert set(listed) == {edge.public, hub.context.keys.node.public}
    assert listed[edge.public].name == "second"
    assert listed[edge.public].addresses == ["127.0.0.1:443"]


async def test_a_stranger_gets_neither_registration_nor_routes(hub: TestHub) -> None:
    outsider = new_key()

    refused = hub.client().register_edge(outsider, registration(outsider))
    assert await code_of(refused) is Code.EDGE_UNKNOWN
    assert await code_of(hub.client().follow_routes(outsider, None)) is Code.EDGE_UNKNOWN


async def test_an_edge_whose_signature_is_wrong_is_not_read(hub: TestHub) -> None:
    key = hub.context.keys.node
    lie = authorize_node(key, Domain.EDGE_REPORT, b"other", hub.clock.now_ms)
    async with hub.raw() as http:
        answer = await http.post("/v1/edges/report", content=b"{", headers=signed(lie))

    assert answer.json()["error"]["code"] == "invalid_signature"


async def test_an_edge_that_asks_while_it_is_noted_is_noted_again(
    hub: TestHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def asks_again(_session: object, seen: dict[bytes, int]) -> None:
        hub.context.edges_seen.update({edge_id: at_ms + 1 for edge_id, at_ms in seen.items()})

    hub.context.edges_seen[b"edge"] = 1
    monkeypatch.setattr(edges, "update_seen", asks_again)
    await background.flush(hub.context)

    assert hub.context.edges_seen == {b"edge": 2}


def signed(header: str) -> dict[str, str]:
    return {"authorization": header}


async def test_a_revoked_edge_is_out_and_agents_are_not_told_of_it(hub: TestHub) -> None:
    edge, invite_id = await second_edge(hub)
    client, token = hub.client(), await hub.invite("a.eu")
    await client.register_edge(edge, registration(edge))
    await client.edge_invites.revoke(invite_id)

    assert await code_of(client.follow_routes(edge, None)) is Code.EDGE_UNKNOWN
    assert (await client.bootstrap(token, new_key(), "g")).edges == []
    assert (await client.edges.list()).edges == []


async def test_a_certificate_must_be_for_the_edges_own_key(hub: TestHub) -> None:
    refused = hub.client().register_edge(hub.context.keys.node, registration(new_key()))

    assert await code_of(refused) is Code.CERTIFICATE_MISMATCH


async def test_agents_are_told_an_edges_certificate_and_nothing_around_it(hub: TestHub) -> None:
    client, key, token = hub.client(), hub.context.keys.node, await hub.invite("a.eu")
    honest, other = registration(key), registration(new_key())
    more = honest.certificate_pem + other.certificate_pem + "\0"
    await client.register_edge(key, honest.model_copy(update={"certificate_pem": more}))
    (reported,) = (await client.bootstrap(token, new_key(), "default")).edges

    assert reported.certificate_pem == honest.certificate_pem


async def test_addresses_must_be_host_and_port(hub: TestHub) -> None:
    key = hub.context.keys.node
    body = registration(key).model_copy(update={"addresses": ["nowhere"]})

    assert await code_of(hub.client().register_edge(key, body)) is Code.INVALID_REQUEST


async def test_a_request_is_taken_once(hub: TestHub) -> None:
    header = authorize_node(hub.context.keys.node, Domain.EDGE_SUBSCRIBE, b"", hub.clock.now_ms)
    async with hub.raw() as http:
        first = await http.get("/v1/routes/feed", headers={"authorization": header})
        second = await http.get("/v1/routes/feed", headers={"authorization": header})

    assert (first.status_code, second.status_code) == (200, 401)
    assert second.json()["error"]["code"] == "replayed"


async def test_an_edge_gets_a_snapshot_first_and_then_only_what_changed(hub: TestHub) -> None:
    client, node = hub.client(), hub.context.keys.node
    tenant = tenant_of(await hub.invite("*.eu"))
    await client.apply_desired_state(tenant, state("a.eu"))
    whole = await client.follow_routes(node, None)
    await client.apply_desired_state(tenant, state("b.eu"))
    delta = await client.follow_routes(node, whole.revision)
    nothing = await client.follow_routes(node, delta.revision)

    assert whole.snapshot
    assert [route.key for route in whole.routes] == ["https:a.eu"]
    assert not delta.snapshot
    assert ([r.key for r in delta.routes], delta.removed) == (["https:b.eu"], ("https:a.eu",))
    assert (nothing.revision, nothing.routes, nothing.removed) == (delta.revision, (), ())


async def test_an_edge_that_is_ahead_gets_a_snapshot(hub: TestHub) -> None:
    found = await hub.client().follow_routes(hub.context.keys.node, 1000)

    assert found.snapshot
    assert found.revision == 0


async def test_a_waiting_edge_hears_of_a_change_at_once(hub: TestHub) -> None:
    client, node = hub.client(), hub.context.keys.node
    tenant = tenant_of(await hub.invite("a.eu"))

    async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
        waiting = tasks.create_task(hub.client().follow_routes(node, 0, 25))
        while not hub.context.route_changes.waiting:
            await asyncio.sleep(0.01)
        await client.apply_desired_state(tenant, state("a.eu"))

    assert [route.key for route in waiting.result().routes] == ["https:a.eu"]
    assert hub.context.route_changes.waiting == 0


async def test_a_stopping_hub_lets_waiting_edges_go(hub: TestHub) -> None:
    async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
        waiting = tasks.create_task(hub.client().follow_routes(hub.context.keys.node, 0, 25))
        while not hub.context.route_changes.waiting:
            await asyncio.sleep(0.01)
        hub.context.stop()

    assert waiting.result().revision == 0


async def test_what_is_pruned_is_made_up_for_by_a_snapshot(hub: TestHub) -> None:
    client, node = hub.client(), hub.context.keys.node
    tenant = tenant_of(await hub.invite("*.eu"))
    await client.apply_desired_state(tenant, state("a.eu", "b.eu"))
    await client.apply_desired_state(tenant, state("b.eu"))
    hub.clock.now_ms += retention.TOMBSTONE_MS + 1
    async with hub.context.store.write() as change:
        await retention.prune(change)
    await client.apply_desired_state(tenant, state("b.eu", "c.eu"))

    old, new = await client.follow_routes(node, 1), await client.follow_routes(node, 2)
    assert old.snapshot
    assert [route.key for route in old.routes] == ["https:b.eu", "https:c.eu"]
    assert not new.snapshot
    assert [route.key for route in new.routes] == ["https:c.eu"]


async def test_blocks_and_nonces_are_forgotten_when_they_cannot_matter(hub: TestHub) -> None:
    client = hub.client()
    created = await client.invites.create(InviteIn(hostnames=["a.eu"]))
    await client.invites.revoke(created.invite_id)
    blocked = (await client.follow_routes(hub.context.keys.node, None)).blocked
    hub.clock.now_ms += retention.BLOCK_MS + 1
    async with hub.context.store.write() as change:
        await retention.prune(change)
    await hub.context.route_cache.catch_up()

    assert [*blocked] == [created.tenant_id]
    assert (await client.follow_routes(hub.context.keys.node, None)).blocked == ()
