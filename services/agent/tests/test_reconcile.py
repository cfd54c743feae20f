"""Reconciler with a real hub: what it publishes, when it gives up, and what it survives."""

import asyncio
import dataclasses
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from pathlib import Path

import pytest
from sqlmodel import update
from structlog.testing import capture_logs
from structlog.typing import EventDict
from support.callers import code_of, tenant_id
from support.hub import TestHub, migrated, new_key, registration, running_hub
from support.reconciler import TIMING, Way, agent, grant_of, published_keys

from towonel.api.invites import InviteIn
from towonel.hub.core.quotas import Quotas
from towonel.hub.live.route_changes import RouteChanges
from towonel.hub.store.tables import AgentRow
from towonel.identity.grants import GRANT_LIFETIME_MS
from towonel.runtime.lifecycle import GiveUp
from towonel.wire import base64url
from towonel.wire.errors import Code
from towonel.wire.tokens import InviteToken

type Revoke = Callable[[], Awaitable[object]]


@pytest.fixture
async def hub(tmp_path: Path) -> AsyncIterator[TestHub]:
    async with running_hub(await migrated(tmp_path / "hub.db"), RouteChanges()) as hub:
        yield hub


async def test_what_the_environment_says_is_published_and_the_edges_are_dialled(
    hub: TestHub,
) -> None:
    node = hub.context.keys.node
    await hub.client().register_edge(node, registration(node))
    async with agent(hub, await hub.invite("a.eu")) as running:
        while not running.links._edges:
            await asyncio.sleep(0.01)

        assert list(running.links._edges) == [node.public]
        assert await published_keys(hub) == ["https:a.eu"]


@pytest.mark.parametrize("spoiled", ["invite_id", "secret", "seed"])
async def test_an_agent_whose_invite_was_never_good_gives_up_and_says_why(
    hub: TestHub, spoiled: str
) -> None:
    token = await hub.invite("a.eu")
    changed = {spoiled: bytes(len(getattr(token, spoiled)))}
    parts = {name: getattr(token, name) for name in ("hub_url", "invite_id", "secret", "seed")}

    with pytest.raises(ExceptionGroup) as caught:
        async with agent(hub, InviteToken(**{**parts, **changed})) as running:
            await running.running

    assert caught.group_contains(GiveUp, match="refuses this agent: .*TOWONEL_INVITE_TOKEN")


async def test_an_expired_invite_does_not_end_an_agent_that_was_admitted(hub: TestHub) -> None:
    created = await hub.client().invites.create(InviteIn(hostnames=["a.eu"], expires_in_secs=60))
    async with agent(hub, InviteToken.decode(created.token)) as running:
        await grant_of(running)
        hub.clock.now_ms += GRANT_LIFETIME_MS + 1
        while running.reconciler._grant:
            await asyncio.sleep(0.01)
        await asyncio.wait([running.running], timeout=0.2)

        assert not running.running.done()


async def run_until_revoked(hub: TestHub, token: InviteToken, revoke: Revoke) -> None:
    async with agent(hub, token) as running:
        await grant_of(running)
        await revoke()
        await running.running


async def test_an_agent_whose_invite_is_revoked_ends_as_one_that_starts_then(hub: TestHub) -> None:
    token, invites = await hub.invite("a.eu"), hub.client().invites

    with pytest.raises(ExceptionGroup) as running:
        await run_until_revoked(
            hub, token, partial(invites.revoke, base64url.encode(token.invite_id))
        )
    with pytest.raises(ExceptionGroup) as starting:
        await run_until_revoked(hub, token, partial(asyncio.sleep, 0))

    for caught in (running, starting):
        assert caught.group_contains(
            GiveUp, match="^the hub refuses this agent: .*revoked.*TOWONEL_INVITE_TOKEN"
        )


@pytest.mark.parametrize("later_ms", [0, GRANT_LIFETIME_MS + 1])
async def test_an_agent_that_is_revoked_ends_with_its_grant_and_without(
    hub: TestHub, later_ms: int
) -> None:
    async def revoke() -> None:
        hub.clock.now_ms += later_ms
        async with hub.context.store.write_fact() as session:
            await session.exec(update(AgentRow).values(revoked_at_ms=hub.clock()))

    with pytest.raises(ExceptionGroup) as caught:
        await run_until_revoked(hub, await hub.invite("a.eu"), revoke)

    assert caught.group_contains(
        GiveUp, match="^the hub refuses this agent: .*was revoked; start it"
    )


def refreshes_refused(lines: list[EventDict]) -> int:
    asked = [line for line in lines if line.get("path") == "/v1/agent/refresh"]
    return sum(line["status"] != 200 for line in asked if "status" in line)


async def test_an_agent_of_a_suspended_tenant_leaves_its_edges_and_goes_on_asking(
    hub: TestHub,
) -> None:
    node, token = hub.context.keys.node, await hub.invite("a.eu")
    await hub.client().register_edge(node, registration(node))
    async with agent(hub, token) as running:
        while not running.links._edges:
            await asyncio.sleep(0.01)
        with capture_logs() as lines:
            await hub.client().tenants.suspend(tenant_id(token))
            while running.links._edges or running.health.reasons.get("hub") is None:
                await asyncio.sleep(0.01)
            reasons = dict(running.health.reasons)
            while refreshes_refused(lines) < 3:
                await asyncio.sleep(0.01)
            await hub.client().tenants.resume(tenant_id(token))
            while not running.links._edges or "hub" in running.health.reasons:
                await asyncio.sleep(0.01)

        assert not running.running.done()

    assert re.search(r"tenant_suspended.*towonel tenant resume", reasons["hub"])
    assert reasons["edges"] == "no link to any edge: the hub has named none"
    told = [line["event"] for line in lines if line["event"].startswith("hub.")]
    assert told == ["hub.refused", "hub.reachable"]  # once, however often it asks


async def test_an_agent_whose_name_is_not_covered_serves_once_it_is(hub: TestHub) -> None:
    other = await hub.invite("b.eu")
    async with agent(hub, other) as running:
        await asyncio.wait([running.running], timeout=0.3)

        assert not running.running.done()
        assert await published_keys(hub) == []


async def test_an_unreachable_hub_is_asked_again_until_it_answers(hub: TestHub) -> None:
    token, way = await hub.invite("a.eu"), Way(hub, is_cut=True)
    with capture_logs() as lines:
        async with agent(hub, token, way=way):
            while way.refused < 2:
                await asyncio.sleep(0.01)
            way.is_cut = False
            while await published_keys(hub) != ["https:a.eu"]:
                await asyncio.sleep(0.01)

    assert "hub.unreachable" not in {line["event"] for line in lines}  # it may just be starting


@pytest.mark.parametrize("was_there", [True, False])
async def test_a_hub_that_is_away_is_warned_of_once(hub: TestHub, *, was_there: bool) -> None:
    token, way = await hub.invite("a.eu"), Way(hub, is_cut=not was_there)
    with capture_logs() as lines:
        async with agent(hub, token, dataclasses.replace(TIMING, start_s=0.1), way) as started:
            if was_there:
                await grant_of(started)
            way.is_cut = True
            while "hub.unreachable" not in {line["event"] for line in lines}:
                await asyncio.sleep(0.01)
            seen = way.refused
            while way.refused < seen + 3:
                await asyncio.sleep(0.01)
            way.is_cut = False
            while lines[-1]["event"] != "hub.reachable" or "hub" in started.health.reasons:
                await asyncio.sleep(0.01)

    told = [line["event"] for line in lines if line["event"].startswith("hub.")]
    assert told == ["hub.unreachable", "hub.reachable"]


async def test_an_agent_that_leaves_gives_its_place_back_at_once(tmp_path: Path) -> None:
    database = await migrated(tmp_path / "hub.db")
    async with running_hub(database, RouteChanges(), quotas=Quotas(agents=1)) as hub:
        token = await hub.invite("a.eu")
        async with agent(hub, token) as first:
            await grant_of(first)
        refused = await code_of(hub.client().bootstrap(token, new_key(), "default"))
        hub.clock.now_ms += 1
        await first.reconciler.leave()

        assert refused is Code.RATE_LIMITED
        assert (await hub.client().bootstrap(token, new_key(), "default")).grant is not None


async def test_an_agent_ends_without_a_hub_that_could_be_told(hub: TestHub) -> None:
    async with agent(hub, await hub.invite("a.eu")) as running:
        await running.reconciler.leave()  # it may have no grant yet
        await grant_of(running)
    hub.context.stop()
    hub.clock.now_ms += 2 * GRANT_LIFETIME_MS

    with capture_logs() as lines:
        await running.reconciler.leave()

    assert "agent.leave_failed" in [line["event"] for line in lines]


async def test_a_grant_is_renewed_before_it_ends(hub: TestHub) -> None:
    async with agent(hub, await hub.invite("a.eu")) as running:
        first = await grant_of(running)
        hub.clock.now_ms += GRANT_LIFETIME_MS // 2 + 1
        while running.reconciler._grant == first:
            await asyncio.sleep(0.01)

        assert running.links._grant == running.reconciler._grant != first
