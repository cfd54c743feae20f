"""TCP and UDP services at a real hub: which ports they get, and what is said of edges that do not listen on one."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import pytest
from structlog.testing import capture_logs
from structlog.typing import EventDict
from support.callers import publish_ports, tenant_id
from support.hub import TestHub, migrated, running_hub
from support.reconciler import TIMING, Agent, agent, published_keys

from towonel.agent.core.https_services import parse_https_services
from towonel.agent.core.services import Service
from towonel.agent.core.tcp_services import parse_tcp_services
from towonel.agent.core.udp_services import parse_udp_services
from towonel.api.ports import Protocol, ReservationIn
from towonel.api.reports import EdgeReport, ListenerReport
from towonel.hub.live.edge_reports import REFRESH_MS
from towonel.hub.live.route_changes import RouteChanges
from towonel.wire.tokens import InviteToken


def services_of(
    parse: Callable[[str], tuple[Service, ...]] = parse_tcp_services, **ports: int | str
) -> tuple[Service, ...]:
    items = (
        {"name": name, "origin": "127.0.0.1:1", "listen_port": port} for name, port in ports.items()
    )
    return parse(json.dumps(list(items)))


@pytest.fixture
async def hub(tmp_path: Path) -> AsyncIterator[TestHub]:
    async with running_hub(await migrated(tmp_path / "hub.db"), RouteChanges()) as hub:
        yield hub


async def until(is_so: Callable[[], bool]) -> None:
    while not is_so():
        await asyncio.sleep(0.01)


async def reserve(hub: TestHub, token: InviteToken, port: int, protocol: Protocol = "tcp") -> str:
    wanted = ReservationIn(
        tenant_id=tenant_id(token), protocol=protocol, first_port=port, last_port=port
    )
    return (await hub.client().ports.reserve(wanted)).reservation_id


async def change(started: Agent, services: tuple[Service, ...]) -> None:
    started.publisher.change(services)
    await until(lambda: not started.publisher.is_due)


def assigned(lines: list[EventDict]) -> list[tuple[str, int]]:
    return [
        (line["service_key"], line["port"]) for line in lines if line["event"] == "port.assigned"
    ]


async def test_services_are_published_with_their_ports_and_one_that_asks_for_any_gets_a_reserved_one(
    hub: TestHub,
) -> None:
    token = await hub.invite("a.eu")
    await reserve(hub, token, 3000)
    with capture_logs() as lines:
        async with agent(hub, token, services=services_of(ssh=2222, game="auto")) as started:
            await until(lambda: started.publisher.has_published)

            assert await published_keys(hub) == ["tcp:2222", "tcp:3000"]
            assert started.publisher.routes == {"tcp:2222": "tcp:ssh", "tcp:3000": "tcp:game"}
            await change(started, services_of(ssh=2223, game="auto"))
            assert await published_keys(hub) == ["tcp:2223", "tcp:3000"]
            await asyncio.sleep(0.05)  # some refreshes: what is published stands
            assert "services" not in started.health.reasons
    published = [line["ports"] for line in lines if line["event"] == "services.published"]
    assert published == ["tcp:ssh 2222, tcp:game 3000", "tcp:ssh 2223, tcp:game 3000"]
    assert assigned(lines) == [("tcp:ssh", 2222), ("tcp:game", 3000), ("tcp:ssh", 2223)]
    assert [line["changed"] for line in lines if line["event"] == "services.changed"] == ["tcp:ssh"]


async def test_a_range_is_published_with_both_ends_and_as_it_changes(hub: TestHub) -> None:
    token = await hub.invite("a.eu")

    def game(last: int) -> tuple[Service, ...]:
        fields = f'"name": "game", "origin": "a", "listen_port_range": [3000, {last}]'
        return parse_tcp_services(f"[{{{fields}}}]")

    with capture_logs() as lines:
        async with agent(hub, token, services=game(3004)) as started:
            await until(lambda: started.publisher.has_published)
            assert await published_keys(hub) == [f"tcp:{port}" for port in range(3000, 3005)]
            await change(started, game(3009))
            assert await published_keys(hub) == [f"tcp:{port}" for port in range(3000, 3010)]
            assert started.publisher.routes == {"tcp:3000-3009": "tcp:game"}
            await asyncio.sleep(0.05)  # some refreshes: what is published stands
            assert "services" not in started.health.reasons
    published = [line["ports"] for line in lines if line["event"] == "services.published"]
    assert published == ["tcp:game 3000-3004", "tcp:game 3000-3009"]
    assert assigned(lines) == []


async def test_a_tcp_and_a_udp_service_may_share_name_and_port(hub: TestHub) -> None:
    token = await hub.invite("a.eu")
    await reserve(hub, token, 3000, "udp")
    both = (
        *services_of(game=2222, dns=5353),
        *services_of(parse_udp_services, game=2222, dns="auto"),
    )
    async with agent(hub, token, services=both) as started:
        await until(lambda: started.publisher.has_published)

        assert await published_keys(hub) == ["tcp:2222", "tcp:5353", "udp:2222", "udp:3000"]
        assert started.publisher.routes == {
            "tcp:2222": "tcp:game",
            "tcp:5353": "tcp:dns",
            "udp:2222": "udp:game",
            "udp:3000": "udp:dns",
        }
        origins = [it for some in started.lanes.origins.describe() for it in some.origins]
        assert [name for name, *_ in origins] == [("tcp", "game"), ("tcp", "dns")]


async def test_another_origin_of_a_port_is_served_and_not_published(hub: TestHub) -> None:
    token, before = await hub.invite("a.eu"), services_of(ssh=2222)
    after = parse_tcp_services('[{"name": "ssh", "origin": "127.0.0.1:2", "listen_port": 2222}]')
    with capture_logs() as lines:
        async with agent(hub, token, services=before) as started:
            await until(lambda: started.publisher.has_published)
            await change(started, after)

            assert started.served[-1] == after
    assert [line["event"] for line in lines].count("services.published") == 1


async def test_a_port_of_another_tenant_is_refused_with_what_to_do(hub: TestHub) -> None:
    token = await hub.invite("a.eu")
    await publish_ports(hub, await hub.invite("b.eu"), "tcp", [2222])
    with capture_logs() as lines:
        async with agent(hub, token, services=services_of(ssh=2222)) as started:
            await until(lambda: "port_conflict" in started.health.reasons.get("hub", ""))
            await change(started, services_of(ssh=2223))
            await until(lambda: started.publisher.has_published)
    (line,) = (line for line in lines if line["event"] == "hub.refused")
    assert line["code"] == "port_conflict"
    assert "listen_port or listen_port_range in TOWONEL_AGENT_TCP_SERVICES" in line["fix"]
    assert "`towonel port reserve`" in line["fix"]


async def test_a_port_that_no_tenant_may_have_is_refused_with_what_to_do(hub: TestHub) -> None:
    with capture_logs() as lines:
        async with agent(hub, await hub.invite("a.eu"), services=services_of(mail=25)) as started:
            await until(lambda: "port 25 is below 1024" in started.health.reasons.get("hub", ""))
    (line,) = (line for line in lines if line["event"] == "hub.refused")
    assert line["code"] == "invalid_request"
    assert "a port in TOWONEL_AGENT_TCP_SERVICES" in line["fix"]


def report(*failing: int, code: str = "port_in_use") -> EdgeReport:
    names = ("started_at_ms", "connections_active", "connections_total", "bytes_in", "bytes_out")
    counts = dict.fromkeys((*names, "sessions_active"), 0)
    found = [ListenerReport(key=f"tcp:{port}", code=code, detail="taken") for port in failing]
    lists = {"sessions": [], "tenants": [], "listeners": found}
    return EdgeReport.model_validate({"version": "1", **counts, **lists})


def reason_of(started: Agent) -> str:
    return started.health.reasons.get("listeners", "")


async def say(hub: TestHub, wanted: EdgeReport) -> None:
    """Let the hub's own edge report, and the hub take notice."""
    hub.clock.now_ms += REFRESH_MS
    await hub.client().report_edge(hub.context.keys.node, wanted)
    hub.clock.now_ms += REFRESH_MS


def refreshes(lines: list[EventDict]) -> int:
    asked = [line for line in lines if line.get("path") == "/v1/agent/refresh"]
    return sum("status" in line for line in asked)


async def test_the_hub_is_asked_soon_and_not_for_ever_after_services_with_ports_were_published(
    hub: TestHub,
) -> None:
    token, few = (
        await hub.invite("a.eu"),
        replace(TIMING, refresh_s=3600, after_publish_s=(0.01,) * 2),
    )
    with capture_logs() as lines:
        async with agent(hub, token, few, services=services_of(ssh=2222)) as started:
            await until(lambda: refreshes(lines) == 2)
            started.publisher.change(services_of(ssh=2223))
            started.links.is_outdated.set()
            await until(lambda: refreshes(lines) == 5)
            await asyncio.wait([started.running], timeout=0.2)
    with capture_logs() as others:
        services = parse_https_services('[{"hostname": "a.eu", "origin": "127.0.0.1:1"}]')
        async with agent(hub, token, few, services=services) as started:
            await until(lambda: started.publisher.has_published)
            await asyncio.wait([started.running], timeout=0.2)

    assert (refreshes(lines), refreshes(others)) == (5, 0)


async def test_what_edges_say_of_a_port_that_was_given_up_is_not_told_any_more(
    hub: TestHub,
) -> None:
    token, few = await hub.invite("a.eu"), replace(TIMING, refresh_s=3600, after_publish_s=())
    with capture_logs() as lines:
        async with agent(hub, token, few, services=services_of(ssh=2222, git=2223)) as started:
            await until(lambda: started.publisher.has_published)
            await say(hub, report(2222, 2223))
            started.links.is_outdated.set()
            await until(lambda: "tcp:ssh" in reason_of(started))
            started.publisher.change(services_of(ssh=2224, git=2223))
            started.links.is_outdated.set()
            await until(lambda: "tcp:ssh" not in reason_of(started))

            assert not started.publisher.is_due
            assert "port 2223 of tcp:git" in reason_of(started)
    told = [line["route"] for line in lines if line["event"].startswith("listener.")]
    assert sorted(told) == ["tcp:2222", "tcp:2223"]


async def test_an_edge_that_does_not_listen_on_a_port_is_told_once_and_when_it_does_again(
    hub: TestHub,
) -> None:
    token = await hub.invite("a.eu")
    with capture_logs() as lines:
        async with agent(hub, token, services=services_of(ssh=2222)) as started:
            await until(lambda: started.publisher.has_published)
            await say(hub, report(2222))
            await until(lambda: "port_in_use (taken)" in reason_of(started))
            await say(hub, report(2222, code="port_unavailable"))
            await until(lambda: "port_unavailable" in reason_of(started))
            await say(hub, report())
            await until(lambda: not reason_of(started))
    told = [line for line in lines if line["event"].startswith("listener.")]
    assert [(line["event"], line.get("code")) for line in told] == [
        ("listener.failed", "port_in_use"),
        ("listener.failed", "port_unavailable"),
        ("listener.restored", None),
    ]
    assert {(line["service_key"], line["route"], line["edge_id"]) for line in told} == {
        ("tcp:ssh", "tcp:2222", hub.context.keys.node.public.hex())
    }
