"""Measurements of a running hub; each function returns its figures by name."""

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import followers
from hubprocess import Figures, Running, others
from seed_database import Size, routes_of, tenant
from sqlalchemy import text

from towonel.api.services import DesiredState, ServiceIn
from towonel.client.hub import HubClient
from towonel.hub.store.db import offline
from towonel.hub.store.db.database import Database

LISTS = ("invites", "tenants", "services", "routes", "agents", "edges", "ports", "keys", "audit")
LIMIT = 100
DEEP = 5  # pages of a thousand before the one deep inside
IDLE_S = 0.5
AT_ONCE = 50  # edges that ask for everything, as after an outage


async def snapshot(hub: Running) -> Figures:
    """All routes at once."""
    before_ms = hub.processor_ms
    heard = await followers.ask(hub, 0, None)
    spent_ms = hub.processor_ms - before_ms
    return heard.figures | {"changes": heard.changes, "hub_cpu_ms": spent_ms}


async def felt_snapshot(hub: Running, size: Size) -> Figures:
    """All routes at once, as nobody had them before, and how long others wait meanwhile."""
    async with hub.client() as client:
        for turn in (1, 0):
            await client.apply_desired_state(tenant(0), state(size, 0, turn))
    async with others(hub) as waited:
        heard = await followers.ask(hub, 0, None)
    return {"last_ms": heard.figures["last_ms"], **waited}


async def storm(hub: Running) -> Figures:
    """Many edges that ask for everything at once."""
    async with others(hub) as waited:
        started_s, before_ms = time.perf_counter(), hub.processor_ms
        async with asyncio.TaskGroup() as tasks:
            requests = [tasks.create_task(followers.ask(hub, at, None)) for at in range(AT_ONCE)]
        spent_ms = hub.processor_ms - before_ms
    heard = [task.result() for task in requests]
    assert len({one.body for one in heard}) == 1, "they all got the same"
    return {
        "last_ms": (max(one.last_s for one in heard) - started_s) * 1000,
        "hub_cpu_ms": spent_ms,
        "hub_peak_mib": hub.peak_mib,
        **waited,
    }


async def idle(hub: Running) -> Figures:
    """What others wait where nothing else happens: the others' figures are to be read beside it."""
    async with others(hub) as waited:
        await asyncio.sleep(IDLE_S)
    return waited


async def change(hub: Running, size: Size, turn: int) -> Figures:
    """One service of one tenant goes or comes back: until a listening edge has it, and how much."""
    async with hub.client() as client, asyncio.TaskGroup() as tasks:
        since = (await client.routes.list(limit=1)).revision
        listening = tasks.create_task(followers.ask(hub, 1, since, followers.POLL_S))
        await asyncio.sleep(0.3)  # so that it listens
        started = time.perf_counter()
        await client.apply_desired_state(tenant(0), state(size, 0, turn))
        committed = time.perf_counter()
    heard = listening.result()
    assert heard.changes == 1, "an edge is told of that change alone"
    return {
        "bytes": len(heard.body),
        "write_ms": (committed - started) * 1000,
        "heard_ms": (heard.last_s - started) * 1000,
    }


async def change_to_many(
    hub: Running, size: Size, them: followers.Followers, count: int
) -> Figures:
    """One change, until the last of many listening edges has it."""
    written, last = list[float](), list[float]()
    async with hub.client() as client:
        for turn in (1, 0, 1, 0):
            them.forget()
            started = time.perf_counter()
            await client.apply_desired_state(tenant(0), state(size, 0, turn))
            written.append((time.perf_counter() - started) * 1000)
            last.append((await them.all_heard(count) - started) * 1000)
            assert them.changes == {1}, "edges are told of that change alone"
    return {"write_ms": statistics.median(written), "last_edge_ms": statistics.median(last)}


async def everything_changes(hub: Running, database: Database) -> Figures:
    """Another replica changes every route: until a listening edge has them, and what others wait."""
    async with hub.client() as client:
        since = (await client.routes.list(limit=1)).revision
    async with others(hub) as waited, asyncio.TaskGroup() as tasks:
        listening = tasks.create_task(followers.ask(hub, 1, since, followers.POLL_S))
        await asyncio.to_thread(_touch, database)
        committed = time.perf_counter()
    heard = listening.result()
    heard_ms = (heard.last_s - committed) * 1000
    return {"changes": heard.changes, "bytes": len(heard.body), "heard_ms": heard_ms, **waited}


async def pages(hub: Running, times: int) -> dict[str, Figures]:
    """Each list: its first hundred, and a hundred deep inside."""
    found: dict[str, Figures] = {}
    async with hub.client() as client:
        for name in LISTS:
            cursor = await _deep(client, name)
            for depth, at in (("first", None), ("deep", cursor)):
                if depth == "deep" and cursor is None:
                    continue
                ask = partial(list_all(client, name), limit=LIMIT, cursor=at)
                found[f"page of {name}, {depth}"] = await _time(hub, ask, times)
    return found


async def writes(hub: Running, size: Size, at_once: int, times: int) -> Figures:
    """Documents that each change one service, one after the other or several at once."""
    turns = max(2, times // at_once) & ~1  # what goes comes back

    async def publish(number: int) -> None:
        async with hub.client() as client:
            for turn in range(1, turns + 1):
                await client.apply_desired_state(tenant(number), state(size, number, turn))

    before_ms, started = hub.processor_ms, time.perf_counter()
    async with asyncio.TaskGroup() as tasks:
        for number in range(at_once):
            tasks.create_task(publish(number))
    count, took_s = at_once * turns, time.perf_counter() - started
    return {"writes_s": count / took_s, "hub_cpu_ms": (hub.processor_ms - before_ms) / count}


def list_all(client: HubClient, name: str) -> Callable[..., Awaitable[Any]]:
    ask: Callable[..., Awaitable[Any]] = getattr(client, name).list
    return ask


def state(size: Size, number: int, turn: int) -> DesiredState:
    """What a tenant publishes; in every other turn it leaves out the first."""
    routes = list(routes_of(size, number))[turn % 2 :]
    services = [
        ServiceIn.model_validate({key: route[key] for key in ("kind", "name", "port")})
        for route in routes
    ]
    return DesiredState(group="default", services=services)


async def _time(hub: Running, ask: Callable[[], Awaitable[Any]], times: int) -> Figures:
    took_ms, before_ms = list[float](), hub.processor_ms
    for _ in range(times):
        started = time.perf_counter()
        await ask()
        took_ms.append((time.perf_counter() - started) * 1000)
    return {
        "median_ms": statistics.median(took_ms),
        "p95_ms": statistics.quantiles(took_ms, n=20)[-1],
        "hub_cpu_ms": (hub.processor_ms - before_ms) / times,
    }


async def _deep(client: HubClient, name: str) -> str | None:
    cursor: str | None = None
    for _ in range(DEEP):
        following = (await list_all(client, name)(limit=1000, cursor=cursor)).next_cursor
        if following is None:
            break
        cursor = following
    return cursor


def _touch(database: Database) -> None:
    with offline.open_for_writing(database) as connection:
        connection.execute(text("UPDATE revision SET value = value + 1"))
        everything = "UPDATE routes SET revision = (SELECT value FROM revision)"
        connection.execute(text(everything))
