"""What a group published last: what a refresh tells agents of it, and who was displaced."""

from dataclasses import dataclass
from typing import Any

import pytest
from sqlmodel import select
from support.callers import body_of, invite_id
from support.hub import TestHub, new_key, registration, state, tenant_of

from towonel.api.agents import Publication
from towonel.api.invites import HostnamesIn
from towonel.api.reports import EdgeReport
from towonel.api.services import AppliedState
from towonel.hub.live.edge_reports import REFRESH_MS
from towonel.hub.store.tables import PublicationRow
from towonel.identity.keys import NodeKey
from towonel.identity.signatures import Domain, authorize_node, authorize_tenant
from towonel.wire import base64url
from towonel.wire.tokens import InviteToken

both_databases = pytest.mark.both_databases


@dataclass
class Agent:
    """An agent that speaks to the hub step by step."""

    hub: TestHub
    token: InviteToken
    key: NodeKey
    grant: bytes
    digest: bytes | None = None

    @classmethod
    async def start(cls, hub: TestHub, token: InviteToken, *names: str) -> "Agent":
        key = new_key()
        answer = await hub.client().bootstrap(token, key, "default")
        agent = cls(hub, token, key, base64url.decode(answer.grant or ""))
        await agent.publish(*names)
        return agent

    async def publish(self, *names: str, group: str = "default") -> AppliedState:
        self.hub.clock.now_ms += 10
        wanted, tenant = state(*names, group=group), tenant_of(self.token)
        applied = await self.hub.client().apply_desired_state(tenant, wanted, self.key.public)
        assert applied.publication
        self.digest = applied.publication.digest
        return applied

    async def refresh(self) -> Publication:
        self.hub.clock.now_ms += 10
        answer = await self.hub.client().refresh(self.grant, self.key, self.digest)
        assert answer.publication
        return answer.publication


async def test_a_refresh_names_no_services_while_all_that_was_published_stands(
    hub: TestHub,
) -> None:
    agent = await Agent.start(hub, await hub.invite("a.eu", "b.eu"), "a.eu", "b.eu")

    assert await agent.refresh() == Publication(
        number=1, digest=agent.digest, agent_id=agent.key.public
    )


@both_databases
async def test_a_hostname_taken_from_the_invite_is_missing_until_it_is_published_again(
    hub: TestHub,
) -> None:
    token, invites = await hub.invite("a.eu", "b.eu"), hub.client().invites
    agent = await Agent.start(hub, token, "a.eu", "b.eu")
    await invites.remove_hostname(invite_id(token), "a.eu")
    taken = await agent.refresh()
    await invites.add_hostnames(invite_id(token), HostnamesIn(hostnames=["a.eu"]))
    given_back = await agent.refresh()
    applied = await agent.publish("a.eu", "b.eu")
    standing = await agent.refresh()

    assert (taken.number, taken.digest, taken.services) == (1, agent.digest, ["https:b.eu"])
    assert given_back == taken
    assert applied.created == ["https:a.eu"]
    assert (standing.number, standing.services) == (1, None)


async def test_an_agent_that_another_one_displaced_is_told_by_which(hub: TestHub) -> None:
    token = await hub.invite("a.eu", "b.eu")
    first = await Agent.start(hub, token, "a.eu")
    second = await Agent.start(hub, token, "b.eu")

    assert await first.refresh() == Publication(
        number=2, digest=second.digest, agent_id=second.key.public, services=["https:b.eu"]
    )
    assert (await second.refresh()).services is None


async def test_replicas_publish_the_same_in_any_order(hub: TestHub) -> None:
    token = await hub.invite("a.eu", "b.eu")
    first = await Agent.start(hub, token, "a.eu", "b.eu")
    second = await Agent.start(hub, token, "b.eu", "a.eu")

    assert second.digest == first.digest
    assert await first.refresh() == Publication(
        number=1, digest=first.digest, agent_id=second.key.public
    )


async def test_groups_are_apart(hub: TestHub) -> None:
    token = await hub.invite("a.eu", "b.eu")
    agent = await Agent.start(hub, token, "a.eu")
    await Agent(hub, token, new_key(), b"").publish("b.eu", group="other")

    assert (await agent.refresh()).services is None


async def test_an_agent_of_the_previous_version_is_answered_as_before(hub: TestHub) -> None:
    token, client = await hub.invite("a.eu"), hub.client()
    agent = await Agent.start(hub, token, "a.eu")
    hub.clock.now_ms += 10
    applied = await client.apply_desired_state(tenant_of(token), state("a.eu"))
    answer = await client.refresh(agent.grant, agent.key)

    assert applied.unchanged == 1
    assert answer.grant == base64url.encode(agent.grant)
    assert answer.publication == Publication(number=1, digest=agent.digest, services=["https:a.eu"])


async def test_a_group_that_published_nothing_has_number_0(hub: TestHub) -> None:
    agent = await Agent.start(hub, await hub.invite("a.eu"))

    assert await agent.refresh() == Publication(number=0, services=[])


@pytest.mark.parametrize("wrong", ["x", "ab" * 31, "zz" * 32])
async def test_a_digest_or_agent_that_is_none_is_named(hub: TestHub, wrong: str) -> None:
    token, at_ms = await hub.invite("a.eu"), hub.clock() + 10
    agent = await Agent.start(hub, token, "a.eu")
    body = f'{{"grant": "{base64url.encode(agent.grant)}"}}'.encode()
    wanted = state("a.eu").model_dump_json().encode()
    by_agent = authorize_node(agent.key, Domain.AGENT_REFRESH, body, at_ms)
    by_tenant = authorize_tenant(tenant_of(token), Domain.DESIRED_STATE, wanted, at_ms + 10)
    async with hub.raw() as http:
        refreshed = await http.post(
            f"/v1/agent/refresh?digest={wrong}", content=body, headers=headers(by_agent)
        )
        published = await http.put(
            f"/v1/desired-state?agent_id={wrong}", content=wanted, headers=headers(by_tenant)
        )

    assert [body_of(refreshed), body_of(published)] == [(400, "invalid_request")] * 2
    assert "digest: must be 64 hexadecimal digits" in refreshed.text
    assert "agent_id: must be 64 hexadecimal digits" in published.text


def headers(authorization: str) -> dict[str, str]:
    return {"authorization": authorization, "content-type": "application/json"}


@both_databases
async def test_a_tenant_has_no_more_publications_than_groups_and_one(hub: TestHub) -> None:
    token = await hub.invite("a.eu")
    agent = await Agent.start(hub, token, "a.eu")
    for number in range(5):
        await agent.publish("a.eu", group=f"g{number}")
        await agent.publish(group=f"g{number}")
    await agent.publish(group="never-had-any")

    assert await publications(hub) == ["default", "g4"]
    assert (await agent.refresh()).services == ["https:a.eu"]


@both_databases
async def test_a_revoked_tenant_has_none(hub: TestHub) -> None:
    token = await hub.invite("a.eu")
    await Agent.start(hub, token, "a.eu")
    await hub.client().invites.revoke(invite_id(token))

    assert await publications(hub) == []


async def publications(hub: TestHub) -> list[str]:
    async with hub.context.store.read() as session:
        return sorted((await session.exec(select(PublicationRow.group))).all())


@both_databases
async def test_operators_see_which_live_agent_is_displaced(hub: TestHub) -> None:
    token = await hub.invite("a.eu", "b.eu")
    first = await Agent.start(hub, token, "a.eu")
    second = await Agent.start(hub, token, "b.eu")
    gone = await Agent.start(hub, token, "a.eu", "b.eu")
    old = await Agent.start(hub, token, "b.eu")
    old.digest = None
    for agent in (first, second, gone, old):
        await agent.refresh()
    hub.clock.now_ms += REFRESH_MS  # what edges reported is read for a refresh, too
    await report(hub, first, second, old)

    client = hub.client()
    listed = (await client.agents.list()).agents
    assert [item.agent_id for item in listed if item.is_displaced] == [first.key.public]
    assert (await client.agents.get(first.key.public)).is_displaced
    detail = await client.services.get("https:b.eu")
    assert {item.agent_id: item.is_displaced for item in detail.agents}[first.key.public]
    tenant = (await client.tenants.get(tenant_of(token).tenant_id)).value
    assert sum(item.is_displaced for item in tenant.agents) == 1


@both_databases
async def test_an_agent_is_not_displaced_by_what_it_published_itself(hub: TestHub) -> None:
    token = await hub.invite("a.eu", "b.eu")
    agent, sibling = [await Agent.start(hub, token, "a.eu") for _ in range(2)]
    for one in (agent, sibling):
        await one.refresh()
    hub.clock.now_ms += REFRESH_MS
    await report(hub, agent, sibling)
    await agent.publish("a.eu", "b.eu")
    await agent.publish("a.eu", group="other")

    listed = (await hub.client().agents.list()).agents
    assert [item.agent_id for item in listed if item.is_displaced] == [sibling.key.public]


async def report(hub: TestHub, *agents: Agent) -> None:
    """Have an edge tell that it has a session with each of these agents."""
    node = hub.context.keys.node
    await hub.client().register_edge(node, registration(node))
    counters = ("connections_active", "connections_total", "bytes_in", "bytes_out")
    body = dict.fromkeys((*counters, "started_at_ms", "sessions_active"), 0)
    sessions = [session_of(agent) for agent in agents]
    made = {**body, "version": "1", "tenants": [], "sessions": sessions}
    hub.clock.now_ms += 10
    await hub.client().report_edge(node, EdgeReport.model_validate(made))


def session_of(agent: Agent) -> dict[str, Any]:
    return {
        "session_id": "ab" * 16,
        "agent_id": agent.key.public.hex(),
        "tenant_id": tenant_of(agent.token).tenant_id.hex(),
        "group": "default",
        "peer": "192.0.2.1:1",
        "since_ms": 1,
        "services": ["https:b.eu"],
        "active_streams": 0,
        "software": "agent/1",
    }
