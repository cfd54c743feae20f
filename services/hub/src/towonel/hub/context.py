"""What every endpoint works with."""

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network
from typing import Annotated

from fastapi import Depends, Request
from opentelemetry.trace import TracerProvider

from towonel.hub.core.access import Principal
from towonel.hub.core.ports import PortRules
from towonel.hub.core.quotas import Quotas
from towonel.hub.core.rate_limits import Rate, client_address
from towonel.hub.key_files import HubKeys
from towonel.hub.live.edge_reports import EdgeReports
from towonel.hub.live.rate_limits import Limiter
from towonel.hub.live.route_cache import STALE_S, RouteCache
from towonel.hub.live.route_changes import RouteChanges
from towonel.hub.metrics import Metrics
from towonel.hub.store.db.transactions import Store
from towonel.wire.ids import AgentId, TenantId


def wall_clock_ms() -> int:
    """Unix time in ms."""
    return time.time_ns() // 1_000_000


@dataclass(frozen=True, slots=True)
class Policy:
    """What an operator decides in the hub's settings."""

    ports: PortRules = field(default_factory=PortRules)
    quotas: Quotas = field(default_factory=Quotas)
    per_address: Rate = Rate(5, 30)  # noqa: RUF009 it is frozen
    per_key: Rate = Rate(50, 500)  # noqa: RUF009 as above
    proxies: tuple[IPv4Network | IPv6Network, ...] = ()
    open_tenant_logs: bool = False
    agents: Mapping[AgentId, TenantId] = field(default_factory=dict[AgentId, TenantId])  # declared


@dataclass(frozen=True)
class Hub:
    """One hub: its keys, its database, what it keeps in memory, its bell and its clock.

    Args:
        keys: who it is, and who may command it.
        store: the database.
        bell: tells of changes, here and among replicas.
        limiter: bounds what callers may ask.
        directory: the routes, as edges are told them.
        live: what edges reported.
        url: its address for tokens.
        policy: what its operator decided.
        now_ms: its clock.
        metrics: what it counts.
        key_uses: API keys that were used, and when, until that is written.
        edges_seen: edges that asked, and when, until that is written.
        tracer_provider: where requests are traced, if they are.
        subscribers: who follows the routes in the original's form.
        followers: who follows the events, each by its stream.
    """

    keys: HubKeys
    store: Store
    route_changes: RouteChanges
    limiter: Limiter
    route_cache: RouteCache
    edge_reports: EdgeReports
    url: str
    policy: Policy = field(default_factory=Policy)
    now_ms: Callable[[], int] = wall_clock_ms
    metrics: Metrics = field(default_factory=Metrics)
    key_uses: dict[bytes, int] = field(default_factory=dict[bytes, int])
    edges_seen: dict[bytes, int] = field(default_factory=dict[bytes, int])
    tracer_provider: TracerProvider | None = None
    subscribers: set[object] = field(default_factory=set[object])
    followers: dict[object, Principal] = field(default_factory=dict[object, Principal])

    def __post_init__(self) -> None:
        self.metrics.revision.set_function(lambda: self.route_changes.revision)
        self.metrics.waiting.set_function(lambda: self.route_changes.waiting)
        self.metrics.redis.set_function(lambda: self.route_changes.connected)
        self.metrics.subscribers.set_function(lambda: len(self.subscribers))
        self.metrics.followers.set_function(lambda: len(self.followers))
        self.metrics.directory.set_function(lambda: self.route_cache.revision)
        self.metrics.limiter.set_function(lambda: self.limiter.degraded)

    def is_active_edge(self, edge_id: bytes) -> bool:
        """Whether an edge is the hub's own or has an invite, as far as the directory knows."""
        return edge_id == self.keys.node.public or edge_id in self.route_cache.edges

    async def news(self, since: int, wait_s: float) -> bool:
        """Return when the routes changed after a revision, the time is over, or the hub stops.

        Returns:
            Whether the directory is all there is; with a database that is away, nobody knows.
        """
        clock = asyncio.get_running_loop().time
        end_s = clock() + wait_s
        while True:
            # An edge can know more than this replica: another one has told it.
            knows = await self.route_cache.follow(max(since, self.route_changes.revision))
            has_news = self.route_cache.revision > since or (
                knows and self.route_cache.revision < since
            )
            left_s = end_s - clock()
            if has_news or self.route_changes.closed or left_s <= 0:
                return knows
            # What was rung and is not to be had is asked for again soon, and not at once.
            known = max(since, self.route_changes.revision)
            await self.route_changes.wait_for(known, left_s if knows else min(left_s, STALE_S))

    def address_of(self, peer: str, forwarded_for: str | None) -> str:
        """Return the address that a request is counted under."""
        return client_address(peer, forwarded_for, self.policy.proxies)


async def _hub(request: Request) -> Hub:
    hub: Hub = request.app.state.hub
    return hub


HubDep = Annotated[Hub, Depends(_hub)]
