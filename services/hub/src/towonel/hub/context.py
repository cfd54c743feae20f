"""Dependency container of the hub, and its policy."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network
from typing import Annotated

from fastapi import Depends, Request
from opentelemetry.trace import TracerProvider

from towonel.hub.core.access import Principal
from towonel.hub.core.ports import PortRules
from towonel.hub.core.quotas import Quotas
from towonel.hub.core.rate_limits import Rate
from towonel.hub.key_files import HubKeys
from towonel.hub.live.edge_reports import EdgeReports
from towonel.hub.live.rate_limits import Limiter
from towonel.hub.live.route_cache import STALE_S, RouteCache
from towonel.hub.live.route_changes import RouteChanges
from towonel.hub.metrics import Metrics
from towonel.hub.store.db.transactions import Store
from towonel.wire.ids import AgentId, TenantId


@dataclass(frozen=True, slots=True)
class Policy:
    """Policy that the operator sets: ports, quotas, rate limits, trusted proxies."""

    ports: PortRules = field(default_factory=PortRules)
    quotas: Quotas = field(default_factory=Quotas)
    per_address: Rate = Rate(5, 30)  # noqa: RUF009 it is frozen
    per_key: Rate = Rate(50, 500)  # noqa: RUF009 as above
    proxies: tuple[IPv4Network | IPv6Network, ...] = ()
    open_tenant_logs: bool = False
    agents: Mapping[AgentId, TenantId] = field(default_factory=dict[AgentId, TenantId])  # declared


@dataclass(frozen=True)
class Hub:
    """Dependencies of one hub: keys, database, caches, rate limits, policy and metrics.

    Args:
        keys: its node key, operator key and invite hash key.
        store: the database.
        route_changes: notifications of changed routes, also from replicas.
        limiter: rate limits and lockouts.
        route_cache: the routes in memory, from which edges are served.
        edge_reports: the newest report of each edge.
        url: its public URL, for tokens.
        policy: what its operator decided.
        metrics: its metrics.
        key_uses: when API keys were last used, until it is written to the database.
        edges_seen: when edges were last seen, until it is written to the database.
        tracer_provider: of the spans of requests, or None without tracing.
        subscribers: open streams of routes in the original's form.
        followers: open streams of events, with their callers.
    """

    keys: HubKeys
    store: Store
    route_changes: RouteChanges
    limiter: Limiter
    route_cache: RouteCache
    edge_reports: EdgeReports
    url: str
    policy: Policy = field(default_factory=Policy)
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

    def now_ms(self) -> int:
        """Return Unix time in ms, by the clock that stamps writes."""
        return self.store.now_ms()

    def is_active_edge(self, edge_id: bytes) -> bool:
        """Whether an edge is the hub's own or has an active invite, as far as the cache knows."""
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


async def _hub(request: Request) -> Hub:
    hub: Hub = request.app.state.hub
    return hub


HubDep = Annotated[Hub, Depends(_hub)]
