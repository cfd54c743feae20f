"""Fleet of edges that follow two hubs while tenants publish and Redis is killed.

The hubs are processes; the edges are the real client, each with its own key, over real sockets.
"""

import asyncio
import contextlib
import hashlib
from collections import Counter
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from support.hub import state, tenant_of
from support.hub_process import own_process
from support.redis_server import redis_server
from support.replicas import on_postgres

from towonel.api.invites import InviteIn
from towonel.client.hub import HubClient
from towonel.edge.core.route_table import RouteTable
from towonel.hub.settings import HubSettings
from towonel.identity.keys import NodeKey, TenantKey
from towonel.wire.errors import Unavailable
from towonel.wire.routes import encode_delta
from towonel.wire.tokens import EdgeToken, InviteToken

POLL_S = 25
RETRY_S = 0.25  # as an edge waits first
TENANTS = 10
UNLIMITED = {
    "TOWONEL_HUB_KEY_RATE_LIMIT_PER_SEC": "100000",
    "TOWONEL_HUB_RATE_LIMIT_PER_SEC": "100000",
    "TOWONEL_HUB_RATE_LIMIT_BURST": "100000",
}


@dataclass
class Edge:
    """One edge: its hub, its key, its table."""

    client: HubClient
    key: NodeKey
    table: RouteTable = field(default_factory=RouteTable)

    @property
    def digest(self) -> str:
        """Return a hash of all routes of the table, and of its revision."""
        return digest_of(self.table)


def digest_of(table: RouteTable) -> str:
    snapshot = table.snapshot()
    ordered = type(snapshot)(
        snapshot.revision,
        snapshot=True,
        routes=tuple(sorted(snapshot.routes, key=lambda route: route.key)),
        blocked=tuple(sorted(snapshot.blocked)),
    )
    return hashlib.sha256(encode_delta(ordered)).hexdigest()


@dataclass(frozen=True)
class Change:
    """A write: the revision it led to, when it was sent, and when the hub had answered."""

    revision: int
    sent_s: float
    answered_s: float
    with_redis: bool


@dataclass
class Fleet:
    """All edges, and when the last of them had each revision."""

    edges: list[Edge]
    reached: Counter[int] = field(default_factory=Counter[int])
    complete_s: dict[int, float] = field(default_factory=dict[int, float])
    set_back: int = 0

    async def follow(self, edge: Edge) -> None:
        """Ask as an edge does, for ever."""
        while True:
            since = edge.table.revision
            try:
                delta = await edge.client.follow_routes(edge.key, since, POLL_S if since else 0)
            except Unavailable:
                await asyncio.sleep(RETRY_S)
                continue
            edge.table.apply(delta)
            self._arrived(since or 0, delta.revision)

    def _arrived(self, since: int, revision: int) -> None:
        self.set_back += revision < since
        now_s = asyncio.get_running_loop().time()
        for number in range(since + 1, revision + 1):
            self.reached[number] += 1
            if self.reached[number] == len(self.edges):
                self.complete_s[number] = now_s

    async def until(self, revision: int) -> None:
        """Return when every edge has a revision."""
        async with asyncio.timeout(120):
            while self.reached[revision] < len(self.edges):
                await asyncio.sleep(0.02)


@dataclass(frozen=True)
class Outcome:
    """What became of a run: of each edge the revision and digest, and the truth of both hubs."""

    changes: list[Change]
    fleet: Fleet
    truth: set[str]

    def last_edge_s(self, *, with_redis: bool) -> list[float]:
        """Return for each write the time from its sending to the last edge's table."""
        return [
            self.fleet.complete_s[change.revision] - change.sent_s
            for change in self.changes
            if change.with_redis is with_redis
        ]


@dataclass(frozen=True)
class Cluster:
    """Two hubs as processes, an operator of each, and the process of their Redis."""

    hubs: list[HubSettings]
    operators: list[HubClient]
    redis: asyncio.subprocess.Process

    async def kill_redis(self) -> None:
        self.redis.kill()
        await self.redis.wait()


async def run(folder: Path, dsn: str, *, edges: int, changes: int, every_s: float) -> Outcome:
    """Let edges follow two hubs; half-way through the changes Redis is killed, and stays away."""
    async with contextlib.AsyncExitStack() as stack:
        cluster = await stack.enter_async_context(cluster_of(folder, dsn))
        fleet = Fleet([await register_edge(stack, cluster, number) for number in range(edges)])
        tenants = [await create_tenant(cluster.operators[0], number) for number in range(TENANTS)]
        written: list[Change] = []
        async with following(fleet):
            await fleet.until(edges)  # each of their invites is a revision
            for number in range(changes):
                if number == changes // 2:
                    await cluster.kill_redis()
                operator = cluster.operators[number % 2]
                written.append(await make_change(operator, tenants, number, number < changes // 2))
                await asyncio.sleep(every_s)
            await fleet.until(written[-1].revision)
        truth = {
            await served_digest(operator, fleet.edges[0].key) for operator in cluster.operators
        }
        return Outcome(written, fleet, truth)


@contextlib.asynccontextmanager
async def cluster_of(folder: Path, dsn: str) -> AsyncGenerator[Cluster]:
    async with contextlib.AsyncExitStack() as stack:
        redis = await stack.enter_async_context(redis_server(folder))
        where = {**on_postgres(dsn), **UNLIMITED, "TOWONEL_REDIS_URL": redis.url}
        hubs = [
            await stack.enter_async_context(
                own_process(folder / "state", folder / f"hub-{number}.log", forked=True, **where)
            )
            for number in range(2)
        ]
        key = (folder / "state/operator.key").read_text()
        operators = [await stack.enter_async_context(client_of(hub, key)) for hub in hubs]
        yield Cluster(hubs, operators, redis.process)


async def register_edge(stack: contextlib.AsyncExitStack, cluster: Cluster, number: int) -> Edge:
    """Return a new edge, which follows one hub or the other."""
    made = await cluster.operators[number % 2].edge_invites.create(f"edge-{number}")
    client = await stack.enter_async_context(client_of(cluster.hubs[number % 2]))
    return Edge(client, NodeKey.from_seed(EdgeToken.decode(made.token).seed))


async def served_digest(hub: HubClient, edge: NodeKey) -> str:
    """Return the digest of the whole table that a hub serves now."""
    table = RouteTable()
    table.apply(await hub.follow_routes(edge, None))
    return digest_of(table)


def client_of(hub: HubSettings, key: str | None = None) -> HubClient:
    return HubClient(f"http://127.0.0.1:{hub.listen_addr[1]}", operator_key=key)


async def create_tenant(operator: HubClient, number: int) -> TenantKey:
    created = await operator.invites.create(InviteIn(hostnames=[f"*.t{number}.example.eu"]))
    return tenant_of(InviteToken.decode(created.token))


async def make_change(
    operator: HubClient, tenants: list[TenantKey], number: int, with_redis: bool
) -> Change:
    """Make the next change: a tenant publishes other names; each tenth is a new tenant's first."""
    clock = asyncio.get_running_loop().time
    if number % TENANTS == TENANTS - 1:
        tenants[number % len(tenants)] = await create_tenant(operator, 1_000 + number)
    which = number % len(tenants)
    names = [f"n{number % 7}", f"m{number % 3}"]
    zone = f"t{1_000 + number}" if number % TENANTS == TENANTS - 1 else f"t{which}"
    sent_s = clock()
    applied = await operator.apply_desired_state(
        tenants[which], state(*(f"{name}.{zone}.example.eu" for name in names))
    )
    return Change(applied.revision, sent_s, clock(), with_redis)


@contextlib.asynccontextmanager
async def following(fleet: Fleet) -> AsyncGenerator[None]:
    async with asyncio.TaskGroup() as tasks:
        polls = [tasks.create_task(fleet.follow(edge)) for edge in fleet.edges]
        yield
        for poll in polls:
            poll.cancel()


def percentiles(values: list[float]) -> Mapping[str, float]:
    """Return median, p95 and maximum in ms."""
    ordered = sorted(values)
    pick = {"median": 0.5, "p95": 0.95, "max": 1.0}
    last = len(ordered) - 1
    return {name: round(1000 * ordered[round(part * last)], 1) for name, part in pick.items()}
