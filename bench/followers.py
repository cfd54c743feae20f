"""Simulated edges: they wait for changes, and report every ten seconds who is connected."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

from hubprocess import Figures, Running, connections
from seed_database import Size, edge, routes_of, tenant_id

from towonel.api.reports import EdgeReport, SessionReport, TenantTraffic
from towonel.client.hub import HubClient
from towonel.identity.signatures import Domain, authorize_node
from towonel.wire.routes import decode_delta

POLL_S = 25
REPORT_S = 10.0


@dataclass(frozen=True)
class Heard:
    """An answer, and when its edge asked and had the first and the last of it, by `perf_counter`."""

    body: bytes
    pieces: int
    requested_s: float
    first_s: float
    last_s: float

    @property
    def figures(self) -> Figures:
        return {
            "bytes": len(self.body),
            "pieces": self.pieces,
            "first_ms": (self.first_s - self.requested_s) * 1000,
            "last_ms": (self.last_s - self.requested_s) * 1000,
        }

    @property
    def changes(self) -> int:
        delta = decode_delta(self.body)
        return len(delta.routes) + len(delta.removed)


async def ask(hub: Running, number: int, since: int | None, wait_s: int = 0) -> Heard:
    """One request for routes, as an edge makes it."""
    now_ms = time.time_ns() // 1_000_000
    signed = authorize_node(edge(number), Domain.EDGE_SUBSCRIBE, b"", now_ms)
    query = {"wait": wait_s} if since is None else {"since": since, "wait": wait_s}
    body, pieces, first_s = bytearray(), 0, 0.0
    started_s = time.perf_counter()
    async with (
        connections() as http,
        http.stream(
            "GET", f"{hub.url}/v1/routes/feed", params=query, headers={"authorization": signed}
        ) as answer,
    ):
        assert answer.is_success, answer.status_code
        async for piece in answer.aiter_raw():
            first_s = first_s or time.perf_counter()
            pieces += 1
            body += piece
    return Heard(bytes(body), pieces, started_s, first_s, time.perf_counter())


@dataclass
class Followers:
    """Edges that have all routes, and when each had the last change."""

    revision: int
    heard: dict[int, float] = field(default_factory=dict[int, float])
    changes: set[int] = field(default_factory=set[int])

    async def all_heard(self, count: int) -> float:
        """Return when the last of them had the change, by `perf_counter`."""
        async with asyncio.timeout(60):
            while len(self.heard) < count:
                await asyncio.sleep(0.002)
        return max(self.heard.values())

    def forget(self) -> None:
        self.heard.clear()
        self.changes.clear()


@contextlib.asynccontextmanager
async def simulate_edges(
    hub: Running, size: Size, revision: int, count: int
) -> AsyncIterator[Followers]:
    """As many edges as there are to be, all tenants' agents among their sessions."""
    them = Followers(revision)
    async with contextlib.AsyncExitStack() as exits, asyncio.TaskGroup() as tasks:
        clients = [await exits.enter_async_context(hub.client()) for _ in range(count)]
        for number, client in enumerate(clients):
            await client.report_edge(edge(number), _report(size, number, count))
        work = [tasks.create_task(_follow(client, them, at)) for at, client in enumerate(clients)]
        work += [
            tasks.create_task(_tell(client, size, at, count)) for at, client in enumerate(clients)
        ]
        yield them
        for task in work:
            task.cancel()


async def _follow(client: HubClient, them: Followers, number: int) -> None:
    revision = them.revision
    while True:
        delta = await client.follow_routes(edge(number), revision, POLL_S)
        if delta.revision != revision:
            revision = delta.revision
            them.changes.add(len(delta.routes) + len(delta.removed))
            them.heard[number] = time.perf_counter()


async def _tell(client: HubClient, size: Size, number: int, count: int) -> None:
    report = _report(size, number, count)
    await asyncio.sleep(REPORT_S * number / count)  # they do not all tell at once
    while True:
        await client.report_edge(edge(number), report)
        await asyncio.sleep(REPORT_S)


def _report(size: Size, number: int, count: int) -> EdgeReport:
    """Each agent has a session with one edge."""
    sessions = [
        SessionReport(
            session_id=at.to_bytes(16),
            agent_id=at.to_bytes(32),
            tenant_id=tenant_id(at),
            group="default",
            peer="192.0.2.1:50000",
            since_ms=1,
            services=[f"{route['kind']}:{route['name']}" for route in routes_of(size, at)],
            active_streams=1,
            software="towonel 1",
        )
        for at in range(number, size.tenants, count)
    ]
    counted: dict[str, Any] = {
        "connections_active": 1,
        "connections_total": 10,
        "bytes_in": 1000,
        "bytes_out": 1000,
    }
    return EdgeReport(
        version="1",
        started_at_ms=1,
        is_final=False,
        sessions_active=len(sessions),
        sessions=sessions,
        tenants=[TenantTraffic(tenant_id=it.tenant_id, **counted) for it in sessions],
        **counted,
    )
