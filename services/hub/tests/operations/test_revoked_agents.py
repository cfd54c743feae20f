"""Revoked agents: a revocation holds, whatever other tenants do with the agent's id."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass

import pytest
from support.callers import code_of
from support.hub import TestHub, new_key, running_hub, tenant_of
from support.legacy_client import LegacyClient, legacy_client

from towonel.hub.live.route_changes import RouteChanges
from towonel.hub.store.agents import FRESH_MS
from towonel.hub.store.db.database import Database
from towonel.identity.grants import GRANT_LIFETIME_MS
from towonel.identity.keys import NodeKey
from towonel.wire import base64url
from towonel.wire.errors import Code
from towonel.wire.tokens import InviteToken


@dataclass
class TwoTenants:
    """A hub with two tenants, and an agent that knows the invites of both."""

    hub: TestHub
    client: LegacyClient
    one: InviteToken
    two: InviteToken
    agent: NodeKey

    async def bootstrap(self, token: InviteToken) -> bytes:
        self.hub.clock.now_ms += 10
        answer = await self.hub.client().bootstrap(token, self.agent, "default")
        assert answer.grant
        return base64url.decode(answer.grant)

    async def refresh(self, grant: bytes) -> None:
        self.hub.clock.now_ms += 10
        await self.hub.client().refresh(grant, self.agent)

    async def name(self, token: InviteToken, sequence: int, op: str) -> None:
        await self.client.accept(tenant_of(token), sequence, op, agent_id=self.agent.public)

    async def name_later(self, token: InviteToken) -> None:
        """Name the agent for a tenant, once its own is no longer fresh."""
        self.hub.clock.now_ms += FRESH_MS
        await self.name(token, 1, "upsert_agent")

    async def owner(self) -> bytes:
        (listed,) = (await self.hub.client().agents.list()).agents
        return listed.tenant_id


@pytest.fixture
async def two(database: Database) -> AsyncGenerator[TwoTenants]:
    async with running_hub(database, RouteChanges()) as hub, legacy_client(hub) as client:
        yield TwoTenants(hub, client, await hub.invite("a.eu"), await hub.invite("b.eu"), new_key())


async def test_a_revoked_agent_that_joins_another_tenant_stays_revoked(two: TwoTenants) -> None:
    grant = await two.bootstrap(two.one)
    await two.name(two.one, 1, "revoke_agent")
    joined = await code_of(two.bootstrap(two.two))

    assert joined is Code.TENANT_NOT_ALLOWED
    assert await code_of(two.refresh(grant)) is Code.GRANT_INVALID
    assert await code_of(two.bootstrap(two.one)) is Code.TENANT_NOT_ALLOWED


async def test_a_revoked_agent_that_another_tenant_names_stays_revoked(two: TwoTenants) -> None:
    grant = await two.bootstrap(two.one)
    await two.name(two.one, 1, "revoke_agent")
    await two.name_later(two.two)
    heartbeat = await two.client.heartbeat(two.agent, tenant_of(two.two).tenant_id)

    assert heartbeat.status_code == 403
    assert await code_of(two.refresh(grant)) is Code.GRANT_INVALID
    assert await two.owner() == tenant_of(two.one).tenant_id


async def test_a_revocation_ends_with_the_grant_for_other_tenants(two: TwoTenants) -> None:
    await two.bootstrap(two.one)
    await two.name(two.one, 1, "revoke_agent")
    two.hub.clock.now_ms += GRANT_LIFETIME_MS
    await two.bootstrap(two.two)

    assert await two.owner() == tenant_of(two.two).tenant_id


async def test_a_grant_of_the_tenant_that_an_agent_left_is_not_renewed(two: TwoTenants) -> None:
    old = await two.bootstrap(two.one)
    new = await two.bootstrap(two.two)

    assert await code_of(two.refresh(old)) is Code.GRANT_INVALID
    await two.refresh(new)
    assert await two.owner() == tenant_of(two.two).tenant_id


async def test_a_name_alone_takes_no_agent_from_its_tenant(two: TwoTenants) -> None:
    grant = await two.bootstrap(two.one)
    await two.name_later(two.two)
    await two.refresh(grant)

    assert await two.owner() == tenant_of(two.one).tenant_id


async def test_an_agent_joins_another_tenant_with_its_own_heartbeat(two: TwoTenants) -> None:
    grant = await two.bootstrap(two.one)
    await two.name_later(two.two)
    heartbeat = await two.client.heartbeat(two.agent, tenant_of(two.two).tenant_id)

    assert heartbeat.status_code == 200
    assert await code_of(two.refresh(grant)) is Code.GRANT_INVALID
    assert await two.owner() == tenant_of(two.two).tenant_id


async def test_an_agent_of_a_declared_tenant_joins_no_other(database: Database) -> None:
    agent, declared = new_key(), dict[bytes, bytes]()
    async with running_hub(database, RouteChanges(), agents=declared) as hub:
        one, two = await hub.invite("a.eu"), await hub.invite("b.eu")
        declared[agent.public] = tenant_of(one).tenant_id
        refused = await code_of(hub.client().bootstrap(two, agent, "default"))
        await hub.client().bootstrap(one, agent, "default")

    assert refused is Code.TENANT_NOT_ALLOWED
