"""Hub replicas: two hubs with the same keys, one database, one Redis."""

import asyncio
import contextlib
import secrets
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from support import plain_http
from support.hub import OPERATOR_KEY, TestHub, hub_with_keys, new_key, route_changes_over
from support.hub_process import running, settings
from support.polling import pauses

from towonel.api.invites import InviteIn
from towonel.client.hub import HubClient
from towonel.hub.key_files import HubKeys
from towonel.hub.live.rate_limits import make_limiter
from towonel.hub.live.route_changes import redis_client
from towonel.hub.settings import HubSettings
from towonel.hub.store.db.database import Database
from towonel.hub.timing import Timing
from towonel.identity.keys import NodeKey
from towonel.wire.errors import Unavailable

type Readiness = tuple[int, dict[str, str]]


@dataclass
class Replica:
    """A hub on real sockets, with what a process does beside answering."""

    chosen: HubSettings
    client: HubClient
    node: NodeKey

    async def metric(self, name: str) -> float:
        lines = (await health(self.chosen, "metrics")).text.splitlines()
        return next(float(line.split()[1]) for line in lines if line.startswith(f"{name} "))

    async def until(self, name: str, value: float, within_s: float = 20) -> None:
        async with asyncio.timeout(within_s):
            for pause_s in pauses():
                if await self.metric(name) == value:
                    return
                await asyncio.sleep(pause_s)

    async def ready_until(self, holds: Callable[[int, dict[str, str]], bool]) -> Readiness:
        return await ready_until(self.chosen, holds)

    async def change(self, hostname: str) -> None:
        """Make a change of the routes: the end of a tenant is one."""
        created = await self.client.invites.create(InviteIn(hostnames=[hostname]))
        await self.client.invites.revoke(created.invite_id)


async def retried[T](ask: Callable[[], Awaitable[T]]) -> T:
    """Return the answer of a hub that may be unavailable for a moment."""
    async with asyncio.timeout(20):
        while True:
            with contextlib.suppress(Unavailable):
                return await ask()
            await asyncio.sleep(0.05)


async def health(chosen: HubSettings, what: str) -> httpx.Response:
    """Ask a hub's health address."""
    return await plain_http.get(chosen.health_listen_addr[1], f"/{what}")


async def ready_until(
    chosen: HubSettings, holds: Callable[[int, dict[str, str]], bool]
) -> Readiness:
    """Return what /readyz says, status and reasons, once it is what is waited for."""
    async with asyncio.timeout(30):
        for pause_s in pauses():
            with contextlib.suppress(OSError):  # it may not listen yet
                answer = await health(chosen, "readyz")
                if holds(answer.status_code, answer.json()["reasons"]):
                    return answer.status_code, answer.json()["reasons"]
            await asyncio.sleep(pause_s)
    raise AssertionError("pauses do not end")


@contextlib.asynccontextmanager
async def replicas(
    folder: Path, timing: Timing | None = None, **more: str
) -> AsyncGenerator[tuple[Replica, Replica]]:
    """Two hubs with their listeners and background tasks; with a Redis, both are subscribed."""
    one, two = (settings(folder / "state", **more) for _ in range(2))
    async with running(one, timing) as first, running(two, timing) as second:
        node = NodeKey.from_seed((folder / "state/node.key").read_bytes())
        pair = Replica(one, first, node), Replica(two, second, node)
        for replica in pair:
            if replica.chosen.redis_url:
                await replica.until("towonel_hub_redis_connected", 1)
        yield pair


def on_postgres(dsn: str) -> dict[str, str]:
    """Settings of a hub on a Postgres."""
    return {"TOWONEL_HUB_DB_DRIVER": "postgres", "TOWONEL_HUB_DB_DSN": dsn}


@contextlib.asynccontextmanager
async def hubs(
    database: Database, redis_url: str, **chosen: Any
) -> AsyncGenerator[tuple[TestHub, TestHub]]:
    """Two hubs called without a network; `chosen` are fields of their policy."""
    keys = HubKeys(new_key(), OPERATOR_KEY.encode(), secrets.token_bytes(32))
    async with contextlib.AsyncExitStack() as stack:
        made: list[TestHub] = []
        for _ in range(2):
            changes = await stack.enter_async_context(route_changes_over(redis_url))
            redis = await stack.enter_async_context(redis_client(redis_url))
            limits = make_limiter(redis, answer_s=10)  # a slow Redis is not an unavailable one
            hub = hub_with_keys(database, changes, keys, limits, **chosen)
            made.append(await stack.enter_async_context(hub))
        yield made[0], made[1]
