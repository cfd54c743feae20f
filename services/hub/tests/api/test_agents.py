"""Agents over the API: bootstrap, desired state, refresh."""

import asyncio

import pytest
from support.callers import code_of
from support.hub import TestHub, new_key, registration, state, tenant_of

from towonel.api.agents import AgentItem, BootstrapIn
from towonel.api.invites import InviteIn
from towonel.api.services import DesiredState, ServiceIn
from towonel.identity.grants import GRANT_LIFETIME_MS, verify
from towonel.identity.keys import NodeKey
from towonel.identity.signatures import Domain, authorize_node, authorize_tenant
from towonel.wire import base64url
from towonel.wire.errors import Code, Denied
from towonel.wire.tokens import InviteToken


@pytest.mark.both_databases
async def test_a_proven_invite_gives_a_grant_and_the_edges(hub: TestHub) -> None:
    token, agent, client = await hub.invite("a.eu"), new_key(), hub.client()
    await client.register_edge(hub.context.keys.node, registration(hub.context.keys.node))
    welcome = await client.bootstrap(token, agent, "blue")
    assert welcome.grant

    grant = verify(
        base64url.decode(welcome.grant), (hub.context.keys.node.public,), hub.clock.now_ms
    )
    assert (grant.agent_id, grant.tenant_id) == (agent.public, tenant_of(token).tenant_id)
    assert grant.group == "blue"
    assert grant.not_after_ms == welcome.grant_expires_at_ms == hub.clock() + GRANT_LIFETIME_MS
    assert welcome.hostnames == ["a.eu"]
    (edge,) = welcome.edges
    assert edge.edge_id == hub.context.keys.node.public == welcome.edge_node_id
    assert welcome.trusted_edges == [edge.edge_id]
    assert welcome.edge_addresses == edge.addresses == ["127.0.0.1:443"]


async def test_the_originals_bootstrap_needs_no_signature_and_gets_no_grant(hub: TestHub) -> None:
    token = await hub.invite("a.eu")
    body = {
        "invite_id": base64url.encode(token.invite_id),
        "invite_secret": base64url.encode(token.secret),
    }
    async with hub.raw() as http:
        answer = (await http.post("/v1/bootstrap", json=body)).json()

    assert answer["tenant_id"] == tenant_of(token).tenant_id.hex()
    assert answer["grant"] is None
    assert answer["edge_node_id"] is None


def changed(token: InviteToken, **parts: bytes) -> InviteToken:
    fields = {"invite_id": token.invite_id, "secret": token.secret, "seed": token.seed, **parts}
    return InviteToken(token.hub_url, **fields)


async def test_wrong_unknown_and_expired_invites_are_refused_each_with_its_code(
    hub: TestHub,
) -> None:
    client, agent = hub.client(), new_key()
    created = await client.invites.create(InviteIn(hostnames=["a.eu"], expires_in_secs=1))
    token = InviteToken.decode(created.token)
    hub.clock.now_ms += 1000

    assert await code_of(client.bootstrap(token, agent, "x")) is Code.INVITE_EXPIRED
    wrong = changed(token, secret=bytes(32))
    assert await code_of(client.bootstrap(wrong, agent, "x")) is Code.UNAUTHORIZED
    unknown = changed(token, invite_id=bytes(16))
    assert await code_of(client.bootstrap(unknown, agent, "x")) is Code.NOT_FOUND
    assert await code_of(client.bootstrap(token, agent, "No!")) is Code.INVALID_REQUEST


def signed_bootstrap(token: InviteToken, agent: NodeKey) -> bytes:
    requested = BootstrapIn(
        invite_id=base64url.encode(token.invite_id),
        invite_secret=base64url.encode(token.secret),
        agent_id=agent.public,
    )
    return requested.model_dump_json().encode()


async def test_a_grant_is_given_only_to_the_agent_that_signs(hub: TestHub) -> None:
    agent, now, domain = new_key(), hub.clock.now_ms, Domain.AGENT_BOOTSTRAP
    body = signed_bootstrap(await hub.invite("a.eu"), agent)

    async def answer(authorization: str | None) -> str:
        headers = {"authorization": authorization} if authorization else {}
        async with hub.raw() as http:
            sent = await http.post("/v1/bootstrap", content=body, headers=headers)
        return "ok" if sent.is_success else str(sent.json()["error"]["code"])

    def signed(key: NodeKey, domain: Domain, at_ms: int) -> str:
        return authorize_node(key, domain, body, at_ms)

    assert await answer(None) == "unauthorized"
    assert await answer(signed(new_key(), domain, now)) == "invalid_signature"
    assert await answer(signed(agent, Domain.AGENT_REFRESH, now)) == "invalid_signature"
    assert await answer(signed(agent, domain, now - 301_000)) == "clock_skew"
    assert await answer(signed(agent, domain, now)) == "ok"
    assert await answer(signed(agent, domain, now)) == "replayed"


async def test_a_desired_state_replaces_what_the_group_published(hub: TestHub) -> None:
    token, client = await hub.invite("*.eu"), hub.client()
    tenant = tenant_of(token)
    first = await client.apply_desired_state(tenant, state("a.eu", "b.eu"))
    again = await client.apply_desired_state(tenant, state("a.eu", "b.eu"))
    second = await client.apply_desired_state(tenant, state("b.eu", "c.eu"))

    assert first.created == ["https:a.eu", "https:b.eu"]
    assert (again.created, again.deleted, again.unchanged) == ([], [], 2)
    assert again.revision == first.revision
    assert (second.created, second.deleted, second.unchanged) == (["https:c.eu"], ["https:a.eu"], 1)
    table = await client.follow_routes(hub.context.keys.node, None)
    assert {route.name for route in table.routes} == {"b.eu", "c.eu"}
    assert table.revision == second.revision == first.revision + 1


async def test_a_route_lives_while_any_group_publishes_it(hub: TestHub) -> None:
    token, client = await hub.invite("*.eu"), hub.client()
    tenant = tenant_of(token)
    for group in ("blue", "green"):
        await client.apply_desired_state(tenant, state("a.eu", group=group))
    blue_gone = await client.apply_desired_state(tenant, state(group="blue"))
    both_gone = await client.apply_desired_state(tenant, state(group="green"))

    assert blue_gone.deleted == []
    assert both_gone.deleted == ["https:a.eu"]


async def test_a_name_of_another_tenant_is_refused_and_nothing_is_applied(hub: TestHub) -> None:
    mine, other = await hub.invite("*.example.eu"), await hub.invite("app.example.eu")
    client = hub.client()
    refused = client.apply_desired_state(tenant_of(mine), state("b.example.eu", "app.example.eu"))

    assert await code_of(refused) is Code.HOSTNAME_CONFLICT
    foreign = client.apply_desired_state(tenant_of(mine), state("app.example.org"))
    assert await code_of(foreign) is Code.HOSTNAME_NOT_OWNED
    await client.apply_desired_state(tenant_of(other), state("app.example.eu"))
    table = await client.follow_routes(hub.context.keys.node, None)
    assert [route.name for route in table.routes] == ["app.example.eu"]


async def test_a_stranger_cannot_publish(hub: TestHub) -> None:
    token, client = await hub.invite("a.eu"), hub.client()
    outsider = tenant_of(changed(token, seed=bytes(32)))

    assert await code_of(client.apply_desired_state(outsider, state())) is Code.TENANT_NOT_ALLOWED


async def test_a_tenants_signature_counts_once_and_for_its_body(hub: TestHub) -> None:
    token = await hub.invite("a.eu")
    body = state("a.eu").model_dump_json().encode()
    header = authorize_tenant(tenant_of(token), Domain.DESIRED_STATE, body, hub.clock.now_ms)

    async def put(content: bytes) -> int:
        async with hub.raw() as http:
            headers = {"authorization": header}
            return (
                await http.put("/v1/desired-state", content=content, headers=headers)
            ).status_code

    assert await put(body + b" ") == 400
    assert await put(body) == 200
    assert await put(body) == 401


async def test_ports_are_unique_across_tenants(hub: TestHub) -> None:
    one, two = await hub.invite("a.eu"), await hub.invite("b.eu")
    client = hub.client()
    ssh = DesiredState(group="g", services=[ServiceIn(kind="tcp", name="ssh", port=2222)])
    applied = await client.apply_desired_state(tenant_of(one), ssh)

    assert applied.created == ["tcp:2222"]
    refused = client.apply_desired_state(tenant_of(two), ssh)
    assert await code_of(refused) is Code.PORT_CONFLICT


async def test_of_twenty_tenants_that_want_the_same_ports_each_port_has_one_owner(
    hub: TestHub,
) -> None:
    tokens = [await hub.invite(f"t{n}.eu") for n in range(20)]

    async def claim(token: InviteToken, ports: list[int]) -> list[str]:
        services = [ServiceIn(kind="tcp", name=f"s{port}", port=port) for port in ports]
        wanted = DesiredState(group="g", services=services)
        try:
            applied = await hub.client().apply_desired_state(tenant_of(token), wanted)
        except Denied as error:
            assert error.code is Code.PORT_CONFLICT
            return []
        return applied.created

    async with asyncio.TaskGroup() as tasks:
        claims = [
            tasks.create_task(claim(token, [5000 + n % 5, 5001 + n % 5]))
            for n, token in enumerate(tokens)
        ]
    won = [key for task in claims for key in task.result()]
    table = await hub.client().follow_routes(hub.context.keys.node, None)

    assert len(won) == len(set(won)) > 0
    assert {route.key for route in table.routes} == set(won)


async def test_an_agent_that_comes_again_was_seen_first_when_it_was(hub: TestHub) -> None:
    token, agent, client = await hub.invite("a.eu"), new_key(), hub.client()
    seen = list[AgentItem]()
    for group in ("blue", "green"):
        await client.bootstrap(token, agent, group)
        seen.append(await client.agents.get(agent.public))
        hub.clock.now_ms += 5_000

    assert seen[0].first_seen_at == seen[1].first_seen_at
    assert seen[0].last_seen_at < seen[1].last_seen_at
    assert seen[1].group == "green"


async def test_a_refresh_renews_a_grant_at_half_life_and_not_before(hub: TestHub) -> None:
    token, agent, client = await hub.invite("a.eu"), new_key(), hub.client()
    welcome = await client.bootstrap(token, agent, "g")
    assert welcome.grant
    held = base64url.decode(welcome.grant)
    hub.clock.now_ms += GRANT_LIFETIME_MS // 2
    early = await client.refresh(held, agent)
    hub.clock.now_ms += 1
    late = await client.refresh(held, agent)

    assert early.grant == welcome.grant
    assert late.grant_expires_at_ms == hub.clock.now_ms + GRANT_LIFETIME_MS


async def test_a_grant_of_another_or_over_or_broken_is_not_renewed(hub: TestHub) -> None:
    token, agent, client = await hub.invite("a.eu"), new_key(), hub.client()
    welcome = await client.bootstrap(token, agent, "g")
    assert welcome.grant
    held = base64url.decode(welcome.grant)

    assert await code_of(client.refresh(held, new_key())) is Code.GRANT_FOREIGN
    assert await code_of(client.refresh(held[:-1] + b"x", agent)) is Code.GRANT_INVALID
    hub.clock.now_ms += GRANT_LIFETIME_MS
    assert await code_of(client.refresh(held, agent)) is Code.GRANT_EXPIRED
