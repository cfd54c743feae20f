"""Places in a tenant's quota of agents: who holds one, and when it is free again."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from typing import Any

import pytest
from sqlmodel import select
from support.callers import code_of, refusal, tenant_id
from support.hub import TestHub, new_key, registration, running_hub

from towonel.api.agents import BootstrapOut
from towonel.api.reports import EdgeReport
from towonel.hub.core.quotas import GRANTS_PER_AGENT, Quotas
from towonel.hub.live.route_changes import RouteChanges
from towonel.hub.store.agents import FRESH_MS
from towonel.hub.store.db.database import Database
from towonel.hub.store.tables import AgentRow
from towonel.identity.grants import GRANT_LIFETIME_MS
from towonel.identity.keys import NodeKey
from towonel.wire import base64url
from towonel.wire.errors import Code, Unavailable
from towonel.wire.tokens import InviteToken


@dataclass
class Fleet:
    """The agents of a tenant that may have two at once, and the edge of the hub."""

    hub: TestHub
    token: InviteToken
    grants: dict[bytes, bytes] = field(default_factory=dict[bytes, bytes])

    async def start(self, agent: NodeKey | None = None) -> NodeKey:
        agent = agent or new_key()
        self.hub.clock.now_ms += 10
        answer = await self.bootstrap(agent)
        assert answer.grant
        self.grants[agent.public] = base64url.decode(answer.grant)
        return agent

    async def bootstrap(self, agent: NodeKey) -> BootstrapOut:
        return await self.hub.client().bootstrap(self.token, agent, "default")

    async def refresh(self, agent: NodeKey) -> None:
        self.hub.clock.now_ms += 10
        await self.hub.client().refresh(self.grants[agent.public], agent)

    async def leave(self, agent: NodeKey) -> None:
        self.hub.clock.now_ms += 10
        await self.hub.client().leave(self.grants[agent.public], agent)

    async def report(self, *agents: NodeKey, after_ms: int = 10_000) -> None:
        """Have the edge tell that it has a session with each of these agents, and no other."""
        self.hub.clock.now_ms += after_ms
        sessions = [session(agent.public, tenant_id(self.token)) for agent in agents]
        report = EdgeReport.model_validate({**COUNTERS, "version": "1", "sessions": sessions})
        await self.hub.client().report_edge(self.hub.context.keys.node, report)
        self.hub.clock.now_ms += 1_000  # for so long, reports that were read are used again
        await self.hub.context.edge_reports.refresh(self.hub.clock())  # as a hub does in its rounds

    async def wants_one_more(self) -> Code | None:
        """Start one more agent; returns why it was refused."""
        self.hub.clock.now_ms += 10
        try:
            await self.start()
        except Unavailable as error:
            return error.code
        return None


COUNTERS: dict[str, Any] = dict.fromkeys(
    (
        "started_at_ms",
        "connections_active",
        "connections_total",
        "bytes_in",
        "bytes_out",
        "sessions_active",
    ),
    0,
) | {"tenants": []}


def session(agent_id: bytes, tenant: bytes) -> dict[str, Any]:
    return {
        "session_id": "ab" * 16,
        "agent_id": agent_id.hex(),
        "tenant_id": tenant.hex(),
        "group": "default",
        "peer": "192.0.2.1:1",
        "since_ms": 1,
        "services": [],
        "active_streams": 0,
        "software": "agent/1",
    }


@pytest.fixture
async def fleet(database: Database) -> AsyncGenerator[Fleet]:
    async with running_hub(database, RouteChanges(), quotas=Quotas(agents=2)) as hub:
        node = hub.context.keys.node
        await hub.client().register_edge(node, registration(node))
        yield Fleet(hub, await hub.invite("a.eu"))


async def test_one_agent_too_many_is_asked_to_wait(fleet: Fleet) -> None:
    first = await fleet.start()
    await fleet.start()
    await fleet.start(first)
    refused = await refusal(fleet.bootstrap(new_key()))
    async with fleet.hub.context.store.read() as reader:
        known = len((await reader.exec(select(AgentRow))).all())

    assert isinstance(refused, Unavailable)
    assert (refused.code, refused.retry_after_s) == (Code.RATE_LIMITED, 5)
    assert known == 2


async def test_a_grant_counts_as_long_as_it_is_valid_where_no_edge_reports(fleet: Fleet) -> None:
    await fleet.start()
    await fleet.start()
    fleet.hub.clock.now_ms += 185_000
    after_minutes = await fleet.wants_one_more()
    fleet.hub.clock.now_ms += GRANT_LIFETIME_MS
    after_a_day = await fleet.wants_one_more()

    assert (after_minutes, after_a_day) == (Code.RATE_LIMITED, None)


async def test_a_session_counts_although_its_agent_asks_the_hub_for_nothing(fleet: Fleet) -> None:
    agents = [await fleet.start(), await fleet.start()]
    for _ in range(2):
        await fleet.report(*agents)
        fleet.hub.clock.now_ms += 3_600_000
    await fleet.report(*agents)

    assert await fleet.wants_one_more() is Code.RATE_LIMITED


async def test_an_agent_that_leaves_gives_its_place_back_at_once(fleet: Fleet) -> None:
    agents = [await fleet.start(), await fleet.start()]
    await fleet.report(*agents)
    assert await fleet.wants_one_more() is Code.RATE_LIMITED
    await fleet.leave(agents[0])

    assert await fleet.wants_one_more() is None
    assert await fleet.wants_one_more() is Code.RATE_LIMITED


async def test_an_agent_that_left_must_bootstrap_again(fleet: Fleet) -> None:
    agent = await fleet.start()
    await fleet.leave(agent)

    assert await code_of(fleet.refresh(agent)) is Code.GRANT_INVALID
    await fleet.start(agent)
    await fleet.refresh(agent)


async def test_only_the_agent_itself_gives_its_place_back_and_once(fleet: Fleet) -> None:
    agent, other = await fleet.start(), await fleet.start()
    fleet.grants[other.public] = fleet.grants[agent.public]
    await fleet.leave(agent)

    again = fleet.hub.client().leave(fleet.grants[agent.public], agent)
    assert await code_of(again) is Code.REPLAYED
    assert await code_of(fleet.leave(other)) is Code.GRANT_FOREIGN


async def test_the_end_of_a_session_gives_a_place_back_with_the_next_report(fleet: Fleet) -> None:
    one, other = await fleet.start(), await fleet.start()
    await fleet.report(one, other)
    await fleet.report(one)

    assert await fleet.wants_one_more() is None
    assert await fleet.wants_one_more() is Code.RATE_LIMITED


async def test_who_leaves_and_stays_on_an_edge_counts_again(fleet: Fleet) -> None:
    one, other = await fleet.start(), await fleet.start()
    await fleet.report(one, other)
    await fleet.leave(one)
    await fleet.report(one, other, after_ms=40_000)

    assert await fleet.wants_one_more() is Code.RATE_LIMITED


async def test_who_leaves_is_excused_from_earlier_reports_and_from_no_later_one(
    fleet: Fleet,
) -> None:
    one, other = await fleet.start(), await fleet.start()
    await fleet.report(one, other)
    await fleet.leave(one)
    await fleet.report(one, other)

    assert await fleet.wants_one_more() is Code.RATE_LIMITED


async def test_a_tenant_has_so_many_valid_grants_however_its_agents_end(fleet: Fleet) -> None:
    agent = new_key()
    for number in range(2 * GRANTS_PER_AGENT):
        agent = await fleet.start()
        if number % 2:
            await fleet.leave(agent)
        else:  # an edge has it, and then no more
            await fleet.report(agent)
            await fleet.report()
    refused = await fleet.wants_one_more()
    await fleet.start(agent)
    fleet.hub.clock.now_ms += GRANT_LIFETIME_MS

    assert refused is Code.RATE_LIMITED
    assert await fleet.wants_one_more() is None


async def test_an_agent_that_no_edge_ever_had_counts_for_three_minutes_after_its_last_request(
    fleet: Fleet,
) -> None:
    asking, _killed = await fleet.start(), await fleet.start()
    await fleet.report()
    fleet.hub.clock.now_ms += FRESH_MS - 30_000
    await fleet.report()
    await fleet.refresh(asking)
    before = await fleet.wants_one_more()
    await fleet.report(after_ms=20_000)

    assert (before, await fleet.wants_one_more()) == (Code.RATE_LIMITED, None)
    assert await fleet.wants_one_more() is Code.RATE_LIMITED  # the one that asks counts still


async def test_an_agent_of_a_hub_before_grants_were_noted_counts_while_it_is_seen(
    fleet: Fleet,
) -> None:
    agents = [await fleet.start(), await fleet.start()]
    async with fleet.hub.context.store.write_fact() as writer:
        for agent in agents:
            row = await writer.get(AgentRow, agent.public)
            assert row is not None
            row.grant_until_ms = None
            writer.add(row)
    before = await fleet.wants_one_more()
    fleet.hub.clock.now_ms += FRESH_MS

    assert (before, await fleet.wants_one_more()) == (Code.RATE_LIMITED, None)
