"""Follower of the hub's routes, by the real client, with a hub whose answers are scripted."""

import asyncio
import contextlib
import errno
import json
import os
import time
from collections.abc import AsyncGenerator, Collection, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from typing import override
from urllib.parse import parse_qs, urlsplit

import pytest
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs
from structlog.typing import EventDict
from support.ports import free_port
from support.scripted_server import Request, Server, serving
from support.tunnel import EDGE, PEM, until

from towonel.api.edges import EdgeRegisterIn
from towonel.client.hub import HubClient
from towonel.edge.core.balance import Balancer
from towonel.edge.core.route_table import FEW_ROUTES, RouteTable
from towonel.edge.edge_notices import EdgeNotices
from towonel.edge.metrics import Metrics
from towonel.edge.route_follower import Registration, RouteFollower
from towonel.edge.route_notifications import RedisNotifications
from towonel.edge.route_store import RouteStore
from towonel.edge.sessions import Sessions
from towonel.edge.snapshot import SnapshotFile
from towonel.edge.timing import RouteTiming
from towonel.runtime.admin import Health
from towonel.wire.ids import HubId, TenantId
from towonel.wire.names import ServiceKind
from towonel.wire.routes import Route, RouteDelta, encode_delta

HUB_ID = b"\xab" * 32
QUICK = RouteTiming(first_pause_s=0.01, max_pause_s=0.02, register_retry_s=0.05, min_interval_s=0)
REGISTER, HEALTH, FEED = "/v1/edges/register", "/v1/health", "/v1/routes/feed"


class ScriptedHub(Server):
    """Hub that answers each path on its own."""

    def __init__(self) -> None:
        super().__init__()
        self.answers: dict[str, bytes] = {}
        self.script(HEALTH, 200, {"node_id": HUB_ID.hex(), "version": "1"})
        self.script(REGISTER, 200, {"hub_node_id": HUB_ID.hex(), "revision": 3})
        self.script(FEED, 200, encode_delta(RouteDelta(3, snapshot=True)))

    def script(self, path: str, status: int, body: object) -> None:
        content = body if isinstance(body, bytes) else json.dumps(body)
        kind = "application/cbor" if isinstance(body, bytes) else "application/json"
        self.reply(status, content, content_type=kind)
        self.answers[path] = self.answer or b""

    def refuse(self, path: str, status: int, code: str) -> None:
        self.script(path, status, {"error": {"code": code, "message": "as scripted"}})

    def count(self, path: str) -> int:
        return sum(request.target.startswith(path) for request in self.requests)

    @override
    async def _request(self, reader: asyncio.StreamReader) -> Request:
        request = await super()._request(reader)
        self.answer = self.answers[request.target.partition("?")[0]]
        return request


class NobodyConnected:
    """Data plane without a client to end."""

    def change_routes(self, delta: RouteDelta, changed: Collection[str]) -> None:
        pass

    async def replace_routes(self, delta: RouteDelta) -> None:
        raise AssertionError("no table here is large")


class WithoutMemory(NobodyConnected):
    """Data plane that has no memory for many routes, until it has."""

    fails = True

    @override
    async def replace_routes(self, delta: RouteDelta) -> None:
        if self.fails:
            raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))


@dataclass
class Following:
    """An edge that follows, without anything else of an edge."""

    folder: Path
    timing: RouteTiming = QUICK
    registry: CollectorRegistry = field(default_factory=CollectorRegistry)
    health: Health = field(default_factory=Health)
    table: RouteTable = field(default_factory=RouteTable)
    plane: NobodyConnected = field(default_factory=NobodyConnected)

    def __post_init__(self) -> None:
        self.metrics = Metrics(self.registry)
        self.notifications = RedisNotifications(self.health, self.metrics)
        self.sessions = sessions = Sessions(self.table, Balancer(), self.metrics)
        file = SnapshotFile(self.folder / "routes.snapshot")
        self.routes = RouteStore(self.table, sessions, self.plane, file, self.metrics, self.health)

    @contextlib.asynccontextmanager
    async def run(self, hub_url: str) -> AsyncGenerator[None]:
        body = EdgeRegisterIn(addresses=["192.0.2.1:443"], certificate_pem=PEM, version="1")
        async with HubClient(hub_url) as hub, asyncio.TaskGroup() as tasks:
            follower = RouteFollower(
                hub,
                Registration(EDGE, body),
                self.routes,
                EdgeNotices(self.sessions),
                self.notifications,
                self.metrics,
                self.health,
                clock=time.monotonic,
                rng=Random(1),
                timing=self.timing,
            )
            following = tasks.create_task(follower.follow())
            yield
            following.cancel()


@pytest.fixture
async def hub() -> AsyncGenerator[ScriptedHub]:
    scripted = ScriptedHub()
    async with serving(scripted.serve) as scripted.port:
        yield scripted


@pytest.fixture
def lines() -> Iterator[list[EventDict]]:
    with capture_logs() as lines:
        yield lines


def events(lines: list[EventDict], level: str) -> set[str]:
    return {str(line["event"]) for line in lines if line["log_level"] == level}


async def test_an_edge_that_cannot_register_has_routes_trusts_the_hub_and_registers_later(
    hub: ScriptedHub, tmp_path: Path
) -> None:
    hub.refuse(REGISTER, 503, "hub_unavailable")
    edge = Following(tmp_path)
    async with edge.run(hub.url):
        await until(edge.routes.loaded.is_set)
        trusted, reasons = edge.routes.hub_id, dict(edge.health.reasons)
        hub.script(REGISTER, 200, {"hub_node_id": HUB_ID.hex(), "revision": 3})
        await until(lambda: not edge.health.reasons)

    assert trusted == HUB_ID
    assert "takes no registration" in reasons["registration"]
    assert edge.health.ready


async def test_a_hub_that_refuses_the_edge_makes_it_degraded_until_it_takes_it(
    hub: ScriptedHub, tmp_path: Path, lines: list[EventDict]
) -> None:
    hub.refuse(FEED, 403, "clock_skew")
    edge = Following(tmp_path)
    async with edge.run(hub.url):
        await until(lambda: "hub" in edge.health.reasons)
        reason = edge.health.reasons["hub"]
        hub.script(FEED, 200, encode_delta(RouteDelta(3, snapshot=True)))
        await until(lambda: "hub" not in edge.health.reasons)

    assert "refuses this edge (clock_skew" in reason
    assert events(lines, "error") == {"hub.refused"}


async def test_a_revoked_edge_forgets_hub_and_routes_until_the_hub_knows_it_again(
    hub: ScriptedHub, tmp_path: Path, lines: list[EventDict]
) -> None:
    route = Route(ServiceKind.HTTPS, "a.eu", TenantId(b"t" * 32))
    hub.script(FEED, 200, encode_delta(RouteDelta(3, snapshot=True, routes=(route,))))
    edge = Following(tmp_path)
    async with edge.run(hub.url):
        await until(lambda: len(edge.table))
        assert await edge.routes.save()
        for path in (REGISTER, FEED):
            hub.refuse(path, 403, "edge_unknown")
        await until(lambda: not edge.health.ready)
        left = len(edge.table), edge.routes.hub_id, edge.sessions.hub_id, list(tmp_path.iterdir())
        count, reason = hub.count(REGISTER), edge.health.reasons["routes"]
        await until(lambda: hub.count(REGISTER) > count + 2)
        hub.script(REGISTER, 200, {"hub_node_id": HUB_ID.hex(), "revision": 4})
        hub.script(FEED, 200, encode_delta(RouteDelta(4, snapshot=True, routes=(route,))))
        await until(lambda: edge.health.ready)

    assert left == (0, None, None, [])
    assert "its invite was revoked" in reason
    assert len(edge.table) == 1
    assert edge.sessions.hub_id == HUB_ID
    assert [line["event"] for line in lines].count("edge.revoked") == 1


async def test_a_hub_that_starts_together_with_the_edge_is_no_warning(
    hub: ScriptedHub, tmp_path: Path, lines: list[EventDict]
) -> None:
    hub.refuse(REGISTER, 503, "hub_unavailable")
    hub.refuse(HEALTH, 503, "hub_unavailable")
    edge = Following(tmp_path)
    async with edge.run(hub.url):
        await until(lambda: hub.count(REGISTER) > 3)
        degraded = "hub" in edge.health.reasons
        hub.script(REGISTER, 200, {"hub_node_id": HUB_ID.hex(), "revision": 3})
        await until(edge.routes.loaded.is_set)

    assert degraded
    assert events(lines, "warning") == set()


async def test_a_hub_that_never_comes_and_one_that_was_there_are_warned_of_once(
    hub: ScriptedHub, tmp_path: Path, lines: list[EventDict]
) -> None:
    patience = RouteTiming(first_pause_s=0.01, max_pause_s=0.02, start_s=0.1)
    async with Following(tmp_path, patience).run(f"http://127.0.0.1:{free_port()}"):
        await until(lambda: events(lines, "warning") == {"hub.unreachable"})
    lines.clear()
    edge = Following(tmp_path)
    async with edge.run(hub.url):
        await until(edge.routes.loaded.is_set)
        hub.refuse(FEED, 503, "hub_unavailable")
        polls = hub.count(FEED)
        await until(lambda: hub.count(FEED) > polls + 3)

    assert [line["event"] for line in lines if line["log_level"] == "warning"] == [
        "hub.unreachable"
    ]


async def test_a_hub_that_is_back_is_asked_for_an_answer_at_once_and_not_with_its_next_change(
    hub: ScriptedHub, tmp_path: Path, lines: list[EventDict]
) -> None:
    edge = Following(tmp_path)
    async with edge.run(hub.url):
        await until(lambda: hub.count(FEED) > 1)
        hub.refuse(FEED, 503, "hub_unavailable")
        await until(lambda: "hub" in edge.health.reasons)
        hub.requests.clear()
        hub.script(FEED, 200, encode_delta(RouteDelta(3, snapshot=True)))
        await until(lambda: "hub" not in edge.health.reasons)
        await until(lambda: hub.count(FEED) > 2)
        waits = [wait_of(request) for request in hub.requests if request.target.startswith(FEED)]

    assert (waits[0], waits[-1]) == (0, QUICK.long_poll_s)
    assert lines[-1]["event"] == "hub.reachable"


def wait_of(request: Request) -> int:
    return int(parse_qs(urlsplit(request.target).query)["wait"][0])


async def test_routes_of_the_last_run_are_no_change_of_the_hub(
    tmp_path: Path, lines: list[EventDict]
) -> None:
    route = Route(ServiceKind.HTTPS, "a.eu", TenantId(b"t" * 32))
    before, edge = Following(tmp_path), Following(tmp_path)
    before.routes.trust(HubId(HUB_ID))
    before.routes.apply(RouteDelta(3, snapshot=True, routes=(route,)))
    await before.routes.save()
    await edge.routes.load()
    edge.routes.apply(RouteDelta(4, snapshot=False, removed=(route.key,)))

    told = [line["event"] for line in lines]
    assert told == ["routes.changed", "routes.loaded", "routes.changed"]


async def test_a_hub_that_always_has_changes_is_asked_ten_times_a_second(
    hub: ScriptedHub, tmp_path: Path
) -> None:
    edge = Following(tmp_path, RouteTiming(max_interval_s=0.1))
    started = time.monotonic()
    async with edge.run(hub.url):
        await until(lambda: hub.count(FEED) >= 5)
    lasted_s = time.monotonic() - started

    assert hub.count(FEED) <= 10 * lasted_s + 2


async def test_a_hub_without_changes_is_asked_less_and_less_whoever_notifies(
    hub: ScriptedHub, tmp_path: Path
) -> None:
    edge = Following(tmp_path, RouteTiming(min_interval_s=0.001, max_interval_s=0.2))
    async with edge.run(hub.url), notifying(edge):
        await until(lambda: hub.count(FEED) >= 12)
        started, before = time.monotonic(), hub.count(FEED)
        await until(lambda: hub.count(FEED) >= before + 5)
        lasted_s, asked = time.monotonic() - started, hub.count(FEED) - before
        hub.script(FEED, 200, encode_delta(RouteDelta(4, snapshot=True)))
        await until(lambda: edge.table.revision == 4)

    assert asked <= lasted_s / 0.2 + 2


class LateHub(ScriptedHub):
    """Hub that has a change at the third poll, of which the edge was notified before the second."""

    @override
    async def _request(self, reader: asyncio.StreamReader) -> Request:
        request = await super()._request(reader)
        if request.target.startswith(FEED) and self.count(FEED) == 1:
            answer = self.answer
            self.script(FEED, 200, encode_delta(RouteDelta(4, snapshot=True)))
            self.answer = answer
        return request


async def test_a_hub_that_hears_of_a_change_after_its_edge_is_asked_again(tmp_path: Path) -> None:
    edge, late = Following(tmp_path, RouteTiming(poll_every_s=3_600, recheck_s=0.01)), LateHub()
    edge.notifications._is_connected = lambda: True
    async with serving(late.serve) as late.port, edge.run(late.url):
        await until(lambda: late.count(FEED) == 1)
        edge.notifications._notified.set()
        await until(lambda: edge.table.revision == 4)

    assert late.count(FEED) == 3


@contextlib.asynccontextmanager
async def notifying(edge: Following) -> AsyncGenerator[None]:
    """A Redis that is there, and in which somebody publishes all the time."""
    edge.notifications._is_connected = lambda: True

    async def notify() -> None:
        while True:
            edge.notifications._notified.set()
            await asyncio.sleep(0.001)

    async with asyncio.TaskGroup() as tasks:
        notifier = tasks.create_task(notify())
        yield
        notifier.cancel()


async def test_a_disk_that_takes_no_routes_makes_the_edge_degraded_until_it_does(
    hub: ScriptedHub, tmp_path: Path, lines: list[EventDict]
) -> None:
    blocker = tmp_path / "folder"
    blocker.write_text("no folder")
    edge = Following(blocker)
    async with edge.run(hub.url), asyncio.TaskGroup() as tasks:
        saving = tasks.create_task(edge.routes.save_changes(0.01))
        await until(lambda: "snapshot" in edge.health.reasons)
        reason = edge.health.reasons["snapshot"]
        blocker.unlink()
        await until(lambda: "snapshot" not in edge.health.reasons)
        saving.cancel()

    assert "a restart needs the hub" in reason
    assert (blocker / "routes.snapshot").exists()
    assert [line["event"] for line in lines].count("snapshot.write_failed") == 1


async def test_routes_without_memory_are_asked_for_again_and_the_hub_is_not_blamed(
    hub: ScriptedHub, tmp_path: Path, lines: list[EventDict]
) -> None:
    names = (f"{number}.example.eu" for number in range(FEW_ROUTES + 1))
    many = tuple(Route(ServiceKind.HTTPS, name, TenantId(b"t" * 32)) for name in names)
    hub.script(FEED, 200, encode_delta(RouteDelta(3, snapshot=True, routes=many)))
    plane = WithoutMemory()
    edge = Following(tmp_path, replace(QUICK, poll_every_s=0.01), plane=plane)
    async with edge.run(hub.url):
        await until(lambda: hub.count(FEED) > 2)
        reasons, is_loaded = dict(edge.health.reasons), edge.routes.loaded.is_set()
        since = {parse_qs(urlsplit(each.target).query).get("since") for each in hub.requests}
        plane.fails = False
        await edge.routes.loaded.wait()
        await until(lambda: not edge.health.reasons)

    assert reasons.keys() == {"route_memory", "routes"}
    assert not is_loaded
    assert since == {None}
    assert "give it more memory" in reasons["routes"]
    assert events(lines, "warning") == set()
    assert edge.registry.get_sample_value("towonel_edge_hub_reachable") == 1
