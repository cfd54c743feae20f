"""Agents that entries of the original name: whose an id is, and which ids there are."""

import asyncio
from collections.abc import AsyncGenerator

import pytest
from support.hub import TestHub, new_key, tenant_of
from support.legacy_client import LegacyClient, body_of, legacy_client

from towonel.hub.store.agents import FRESH_MS
from towonel.wire import base64url


@pytest.fixture
async def agent(hub: TestHub) -> AsyncGenerator[LegacyClient]:
    async with legacy_client(hub) as made:
        yield made


async def test_an_agent_of_another_tenant_is_left_alone_while_it_runs(agent: LegacyClient) -> None:
    one, two, theirs = await agent.tenant("a.eu"), await agent.tenant("b.eu"), new_key()
    await agent.accept(one, 1, "upsert_agent", agent_id=theirs.public)
    refused = await agent.submit(two, 1, "upsert_agent", agent_id=theirs.public)
    await agent.accept(two, 2, "revoke_agent", agent_id=theirs.public)

    assert body_of(refused) == (400, "invalid_request")
    assert (await agent.heartbeat(theirs, one.tenant_id)).status_code == 200


@pytest.mark.parametrize("first", ["upsert_agent", "revoke_agent"])
async def test_an_agent_belongs_to_whoever_has_it_now(agent: LegacyClient, first: str) -> None:
    one, two, mine = await agent.tenant("a.eu"), await agent.tenant("b.eu"), new_key()
    await agent.accept(one, 1, first, agent_id=mine.public)
    agent.hub.clock.now_ms += FRESH_MS
    await agent.accept(two, 1, "upsert_agent", agent_id=mine.public)
    taken = await agent.heartbeat(mine, two.tenant_id)
    (listed,) = (await agent.hub.client().agents.list()).agents
    agent.hub.clock.now_ms += 1
    back = await agent.heartbeat(mine, one.tenant_id)

    assert (taken.status_code, listed.tenant_id) == (200, two.tenant_id)
    assert back.status_code == (200 if first == "upsert_agent" else 403)


async def test_an_agent_that_another_tenant_revoked_is_admitted_by_its_own(
    agent: LegacyClient,
) -> None:
    other, mine = await agent.tenant("a.eu"), new_key()
    token, client = await agent.hub.invite("b.eu"), agent.hub.client()
    await agent.accept(other, 1, "revoke_agent", agent_id=mine.public)
    admitted = await client.bootstrap(token, mine, "default")
    await agent.accept(other, 2, "revoke_agent", agent_id=mine.public)
    assert admitted.grant is not None
    await client.refresh(base64url.decode(admitted.grant), mine)
    (listed,) = (await client.agents.list()).agents

    assert listed.tenant_id == tenant_of(token).tenant_id


async def test_an_agent_id_that_is_no_public_key_is_refused(agent: LegacyClient) -> None:
    key, no_point = await agent.tenant("a.eu"), (2).to_bytes(32, "little")
    refused = await agent.submit(key, 1, "upsert_agent", agent_id=no_point)
    await agent.accept(key, 1, "revoke_agent", agent_id=no_point)  # taken by earlier hubs

    assert body_of(refused) == (400, "invalid_request")
    assert "agent_id: is not an Ed25519 public key" in refused.json()["error"]["message"]


async def test_a_stranger_who_beats_for_a_tenant_waits_for_no_writer(agent: LegacyClient) -> None:
    key = await agent.tenant("a.eu")
    async with agent.hub.context.store.write(), asyncio.timeout(5):
        answer = await agent.heartbeat(new_key(), key.tenant_id)

    assert body_of(answer) == (403, "tenant_not_allowed")
