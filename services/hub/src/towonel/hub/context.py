"""Context of every endpoint: one hub, and the policy of its operator."""

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
from towonel.hub.live.audit_signal import AuditSignal
from towonel.hub.live.edge_reports import EdgeReports
from towonel.hub.live.rate_limits import Limiter
from towonel.hub.live.route_cache import RouteCache
from towonel.hub.live.route_changes import RouteChanges
from towonel.hub.metrics import Metrics
from towonel.hub.store.db.transactions import Store
from towonel.hub.timing import Timing
from towonel.wire.ids import AgentId, TenantId


def wall_clock_ms() -> int:
    """Unix time in ms."""
    return time.time_ns() // 1_000_000


@dataclass(frozen=True, slots=True)
class Policy:
    """Policy of the operator, from the hub's settings."""

    ports: PortRules = field(default_factory=PortRules)
    quotas: Quotas = field(default_factory=Quotas)
    per_address: Rate = Rate(5, 30)  # noqa: RUF009 it is frozen
    per_key: Rate = Rate(50, 500)  # noqa: RUF009 as above
    proxies: tuple[IPv4Network | IPv6Network, ...] = ()
    open_tenant_logs: bool = False
    agents: Mapping[AgentId, TenantId] = field(default_factory=dict[AgentId, TenantId])  # declared


@dataclass(frozen=True)
class Hub:
    """Dependencies of one hub: its keys, database, caches, signals and clock.

    Args:
        keys: its own key, the operator's, and the one that hashes invites.
        store: the database.
        route_changes: the revision of the routes, here and among replicas.
        audited: is notified of each write to the audit log.
        limiter: rate limits, lockouts and replay nonces.
        route_cache: the routes in memory.
        edge_reports: what edges reported.
        url: its address for tokens.
        policy: of its operator.
        timing: its intervals and timeouts.
        now_ms: its clock.
        metrics: its metrics.
        stopping: is set when streams and long polls have to end.
        key_uses: API keys that were used, and when, until that is saved.
        edges_seen: edges that asked, and when, until that is saved.
        tracer_provider: where requests are traced, if they are.
        subscribers: streams of the routes in the original's form.
        followers: streams of events, each with its caller.
    """

    keys: HubKeys
    store: Store
    route_changes: RouteChanges
    audited: AuditSignal
    limiter: Limiter
    route_cache: RouteCache
    edge_reports: EdgeReports
    url: str
    policy: Policy = field(default_factory=Policy)
    timing: Timing = field(default_factory=Timing)
    now_ms: Callable[[], int] = wall_clock_ms
    metrics: Metrics = field(default_factory=Metrics)
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    key_uses: dict[bytes, int] = field(default_factory=dict[bytes, int])
    edges_seen: dict[bytes, int] = field(default_factory=dict[bytes, int])
    tracer_provider: TracerProvider | None = None
    subscribers: set[object] = field(default_factory=set[object])
    followers: dict[object, Principal] = field(default_factory=dict[object, Principal])

    def __post_init__(self) -> None:
        self.metrics.revision.set_function(lambda: self.route_changes.revision)
        self.metrics.waiting.set_function(lambda: self.route_changes.waiting)
        self.metrics.redis.set_function(lambda: self.route_changes.is_connected)
        self.metrics.subscribers.set_function(lambda: len(self.subscribers))
        self.metrics.followers.set_function(lambda: len(self.followers))
        self.metrics.cache_revision.set_function(lambda: self.route_cache.revision)
        self.metrics.limiter.set_function(lambda: self.limiter.degraded)

    def is_active_edge(self, edge_id: bytes) -> bool:
        """Whether an edge is the hub's own or has an invite, as far as the cache knows."""
        return edge_id == self.keys.node.public or edge_id in self.route_cache.edges

    def stop(self) -> None:
        """Have all streams and long polls end, now and later."""
        self.stopping.set()
        self.route_changes.release()
        self.audited.notify()

    def address_of(self, peer: str, forwarded_for: str | None) -> str:
        """Return the address that a request is counted under."""
        return client_address(peer, forwarded_for, self.policy.proxies)


async def _hub(request: Request) -> Hub:
    hub: Hub = request.app.state.hub
    return hub


HubDep = Annotated[Hub, Depends(_hub)]
