"""Publisher with a real hub: what is dropped comes back, and what another agent displaced is told."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs
from support.callers import invite_id, publish
from support.hub import TestHub, migrated, running_hub, tenant_of
from support.reconciler import TIMING, Agent, agent, grant_of, published_keys

from towonel.agent.core.https_services import parse_https_services
from towonel.agent.core.services import Service
from towonel.api.invites import HostnamesIn, InviteEdit
from towonel.hub.live.route_changes import RouteChanges
from towonel.hub.store import publications
from towonel.identity.grants import GRANT_LIFETIME_MS

type Lines = Sequence[Any]


def services_of(*hostnames: str) -> tuple[Service, ...]:
    items = (f'{{"hostname": "{name}", "origin": "127.0.0.1:1"}}' for name in hostnames)
    return parse_https_services(f"[{', '.join(items)}]")


BOTH = services_of("a.eu", "b.eu")
FEW = replace(TIMING, refresh_s=3600)  # refreshes, but those that are asked for


@pytest.fixture
async def hub(tmp_path: Path) -> AsyncIterator[TestHub]:
    async with running_hub(await migrated(tmp_path / "hub.db"), RouteChanges()) as hub:
        yield hub


async def until(is_so: Callable[[], bool]) -> None:
    while not is_so():
        await asyncio.sleep(0.01)


async def published(started: Agent) -> None:
    await until(lambda: started.publisher.has_published)


async def change(started: Agent, services: Sequence[Service]) -> None:
    started.publisher.change(services)
    started.links.is_outdated.set()
    await until(lambda: not started.publisher.is_due)


def reason_of(started: Agent) -> str:
    return started.health.reasons.get("services", "")


def events(lines: Lines) -> list[str]:
    return [line["event"] for line in lines]


async def test_a_hostname_that_was_taken_and_given_back_is_published_again(hub: TestHub) -> None:
    token, invites = await hub.invite("a.eu", "b.eu"), hub.client().invites
    with capture_logs() as lines:
        async with agent(hub, token, services=BOTH) as started:
            await published(started)
            await invites.remove_hostname(invite_id(token), "a.eu")
            await until(lambda: "not covered by this invite: a.eu" in reason_of(started))
            taken = await published_keys(hub), started.metrics.unpublished._value.get()
            await invites.add_hostnames(invite_id(token), HostnamesIn(hostnames=["a.eu"]))
            await until(lambda: not reason_of(started))

            assert taken == (["https:b.eu"], 1)
            assert await published_keys(hub) == ["https:a.eu", "https:b.eu"]
            assert started.metrics.unpublished._value.get() == 0
    told = [
        event for event in events(lines) if event.startswith("services.") or event == "hub.refused"
    ]
    assert told[1:] == [
        "services.withdrawn",
        "hub.refused",  # once, however often it is asked
        "services.published",
        "services.restored",
    ]


async def test_services_that_another_agent_of_the_group_displaced_are_told_and_left_so(
    hub: TestHub,
) -> None:
    token = await hub.invite("a.eu", "b.eu")
    with capture_logs() as lines:
        async with (
            agent(hub, token, services=services_of("a.eu")) as first,
            agent(hub, token, services=services_of("b.eu")) as second,
        ):
            await until(lambda: bool(reason_of(first) or reason_of(second)))
            displaced, other = (first, second) if reason_of(first) else (second, first)
            numbers = await stable_numbers(displaced, other)

            assert f"agent {other.key.public.hex()}" in reason_of(displaced)
            assert "TOWONEL_AGENT_GROUP" in reason_of(displaced)
            assert displaced.health.degraded == {"services": True}
            assert displaced.metrics.unpublished._value.get() == 1
            assert not reason_of(other)
            assert numbers == (1, 2)
    (line,) = [line for line in lines if line["event"] == "services.displaced"]
    assert line["by"] == other.key.public.hex()
    assert line["services"] == (str(displaced.publisher._services[0].key),)
    assert events(lines).count("services.published") == 2


async def stable_numbers(*agents: Agent) -> tuple[int, ...]:
    """The numbers of what agents published, after some refreshes more."""
    await asyncio.wait([one.running for one in agents], timeout=0.3)
    return tuple(one.publisher._own.number if one.publisher._own else 0 for one in agents)


async def test_replicas_that_change_one_after_another_are_not_displaced(hub: TestHub) -> None:
    token = await hub.invite("a.eu", "b.eu")
    with capture_logs() as lines:
        async with (
            agent(hub, token, FEW, services=services_of("a.eu")) as first,
            agent(hub, token, FEW, services=services_of("a.eu")) as second,
        ):
            for one in (first, second):
                await grant_of(one)  # so that it is asked to refresh, and not still at its start
            for one in (first, second):
                await change(one, BOTH)

            assert not reason_of(second)
    # Nor is one refused whose request had the time of the other's.
    assert not {"services.displaced", "services.refused"} & {*events(lines)}


async def test_an_agent_that_was_displaced_stands_as_soon_as_it_publishes_again(
    hub: TestHub,
) -> None:
    token = await hub.invite("a.eu", "b.eu")
    async with agent(hub, token, FEW, services=services_of("a.eu")) as started:
        await published(started)
        await publish(hub, token, "b.eu")
        started.links.is_outdated.set()
        await until(lambda: bool(reason_of(started)))
        await change(started, BOTH)

        assert not reason_of(started)


async def test_a_displaced_agent_publishes_nothing_with_a_new_grant_either(hub: TestHub) -> None:
    token = await hub.invite("a.eu", "b.eu")
    async with agent(hub, token, services=services_of("a.eu")) as started:
        await published(started)
        await publish(hub, token, "b.eu")
        await until(lambda: "another agent of the same group" in reason_of(started))
        first = await grant_of(started)
        hub.clock.now_ms += GRANT_LIFETIME_MS + 1
        await until(lambda: started.reconciler._grant not in {None, first})
        await asyncio.wait([started.running], timeout=0.2)

        assert await published_keys(hub) == ["https:b.eu"]
        assert reason_of(started)


async def test_replicas_do_not_displace_each_other(hub: TestHub) -> None:
    token = await hub.invite("a.eu", "b.eu")
    with capture_logs() as lines:
        async with (
            agent(hub, token, services=BOTH) as first,
            agent(hub, token, services=BOTH[::-1]) as second,
        ):
            await published(first)
            await published(second)

            assert await stable_numbers(first, second) == (1, 1)
            assert not reason_of(first)
            assert not reason_of(second)
    assert events(lines).count("services.published") == 2


async def test_an_agent_whose_environment_stands_again_says_so(hub: TestHub) -> None:
    token = await hub.invite("a.eu", "b.eu")
    with capture_logs() as lines:
        async with agent(hub, token, services=services_of("a.eu")) as started:
            await published(started)
            await publish(hub, token, "b.eu")
            await until(lambda: bool(reason_of(started)))
            await publish(hub, token, "a.eu")
            await until(lambda: not reason_of(started))

    assert [event for event in events(lines) if event.startswith("services.")] == [
        "services.published",
        "services.displaced",
        "services.restored",
    ]


async def test_what_the_hub_lost_is_published_again(hub: TestHub) -> None:
    token = await hub.invite("a.eu")
    async with agent(hub, token, services=services_of("a.eu")) as started:
        await published(started)
        await publish(hub, token)
        async with hub.context.store.write() as write:
            await publications.delete_of_tenant(write.session, tenant_of(token).tenant_id)
        while await published_keys(hub) != ["https:a.eu"]:
            await asyncio.sleep(0.01)


async def test_a_name_that_was_refused_at_the_start_is_served_once_it_is_covered(
    hub: TestHub,
) -> None:
    token = await hub.invite("a.eu")
    async with agent(hub, token, services=BOTH) as started:
        await until(lambda: "b.eu" in started.health.reasons.get("hub", ""))
        edit = InviteEdit(hostnames=["a.eu", "b.eu"])
        await hub.client().invites.update(invite_id(token), edit)
        while await published_keys(hub) != ["https:a.eu", "https:b.eu"]:
            await asyncio.sleep(0.01)
        await until(lambda: not started.health.reasons.get("hub"))


async def test_what_changes_is_published_and_what_the_hub_refuses_leaves_all_as_it_was(
    hub: TestHub,
) -> None:
    token = await hub.invite("a.eu", "b.eu")
    with capture_logs() as lines:
        async with agent(hub, token, services=services_of("a.eu")) as started:
            await published(started)
            for wanted in (("b.eu",), ("b.eu", "foreign.eu")):
                started.publisher.change(services_of(*wanted))
                await until(lambda: not started.publisher.is_due)

            assert await published_keys(hub) == ["https:b.eu"]
            assert [str(key) for key in started.links._services] == ["https:b.eu"]
            assert [names_of(services) for services in started.served] == [
                ["a.eu"], ["a.eu", "b.eu"], ["b.eu"], ["b.eu", "foreign.eu"], ["b.eu"],
            ]  # fmt: skip
    changed = [line for line in lines if line["event"] == "services.changed"]
    refused = [line for line in lines if line["event"] == "services.refused"]
    assert [(line["added"], line["changed"], line["removed"]) for line in changed] == [
        ("https:b.eu", "", "https:a.eu")
    ]
    assert [(line["code"], "foreign.eu" in line["detail"]) for line in refused] == [
        ("hostname_not_owned", True)
    ]


async def test_a_change_that_the_hub_refuses_is_said_until_there_is_another(hub: TestHub) -> None:
    token = await hub.invite("a.eu")
    async with agent(hub, token, services=services_of("a.eu")) as started:
        await published(started)
        await change(started, services_of("foreign.eu"))
        reason = started.health.reasons["refused_services"]
        started.publisher.change(services_of("a.eu"))

        assert "not covered by this invite: foreign.eu" in reason
        assert started.health.degraded["refused_services"] is False


def names_of(services: Sequence[Service]) -> list[str]:
    return [service.key.name for service in services]


async def test_services_that_were_never_accepted_are_replaced_by_ones_that_are(
    hub: TestHub,
) -> None:
    token = await hub.invite("a.eu")
    async with agent(hub, token, services=services_of("foreign.eu")) as started:
        await until(lambda: "foreign.eu" in started.health.reasons.get("hub", ""))
        started.publisher.change(services_of("a.eu"))
        await published(started)

        assert await published_keys(hub) == ["https:a.eu"]
