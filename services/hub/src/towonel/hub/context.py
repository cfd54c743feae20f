"""Context of every endpoint: one hub, and the policy of its operator."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from ipaddress import IPv4Network, IPv6Network
from typing import Annotated

from fastapi import Depends, Request
from opentelemetry.trace import TracerProvider

from towonel.hub.bounds import Bounds
from towonel.hub.core.access import Principal
from towonel.hub.core.places import KeyedPlaces
from towonel.hub.core.ports import PortRules
from towonel.hub.core.quotas import Quotas
from towonel.hub.core.rate_limits import Rate
from towonel.hub.key_files import HubKeys
from towonel.hub.live.audit_signal import AuditSignal
from towonel.hub.live.edge_reports import EdgeReports
from towonel.hub.live.rate_limits import Limiter
from towonel.hub.live.report_intake import ReportIntake
from towonel.hub.live.route_cache import RouteCache
from towonel.hub.live.route_changes import RouteChanges
from towonel.hub.live.tenant_writes import TenantWrites
from towonel.hub.metrics import Metrics
from towonel.hub.store.db.transactions import Store
from towonel.hub.timing import Timing
from towonel.runtime.log_limit import LogLimit
from towonel.wire.ids import AgentId, TenantId
from towonel.wire.names import Hostname


@dataclass(frozen=True, slots=True)
class Policy:
    """Policy that the operator sets: ports, names, quotas, rate limits, trusted proxies."""

    ports: PortRules = field(default_factory=PortRules)
    reserved_names: frozenset[Hostname] = frozenset()
    quotas: Quotas = field(default_factory=Quotas)
    per_address: Rate = Rate(5, 30)  # noqa: RUF009 it is frozen
    per_key: Rate = Rate(50, 500)  # noqa: RUF009 as above
    route_changes: Rate = Rate(10, 10_000)  # noqa: RUF009 as above
    reports: Rate = Rate(1 / 5, 3)  # noqa: RUF009 as above; edges report every ten seconds
    proxies: tuple[IPv4Network | IPv6Network, ...] = ()
    open_tenant_logs: bool = False
    agents: Mapping[AgentId, TenantId] = field(default_factory=dict[AgentId, TenantId])  # declared


@dataclass(frozen=True)
class Hub:
    """Dependencies of one hub: keys, database, caches, rate limits, policy and metrics.

    Args:
        keys: its node key, operator key and invite hash key.
        store: the database.
        route_changes: the revision of the routes, here and among replicas.
        audited: is notified of each write to the audit log.
        limiter: rate limits, lockouts and replay nonces.
        route_cache: the routes in memory, from which edges are served.
        edge_reports: the newest report of each edge.
        url: its public URL, for tokens.
        policy: what its operator decided.
        timing: its intervals and timeouts.
        bounds: what callers can make it hold or do at once.
        metrics: its metrics.
        stopping: is set when streams and long polls have to end.
        key_uses: when API keys were last used, until it is written to the database.
        edges_seen: when edges were last seen, until it is written to the database.
        tracer_provider: of the spans of requests, or None without tracing.
        log_limit: of lines that callers cause.
        subscribers: open streams of routes in the original's form, with the table that each is sending.
        followers: open streams of events, with their callers.
    """

    keys: HubKeys
    store: Store
    route_changes: RouteChanges
    audit_signal: AuditSignal
    limiter: Limiter
    route_cache: RouteCache
    edge_reports: EdgeReports
    url: str
    policy: Policy = field(default_factory=Policy)
    timing: Timing = field(default_factory=Timing)
    bounds: Bounds = field(default_factory=Bounds)
    metrics: Metrics = field(default_factory=Metrics)
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    key_uses: dict[bytes, int] = field(default_factory=dict[bytes, int])
    edges_seen: dict[bytes, int] = field(default_factory=dict[bytes, int])
    tracer_provider: TracerProvider | None = None
    log_limit: LogLimit = field(default_factory=LogLimit)
    subscribers: dict[object, bytes] = field(default_factory=dict[object, bytes])
    followers: dict[object, Principal] = field(default_factory=dict[object, Principal])

    def __post_init__(self) -> None:
        self.metrics.revision.set_function(lambda: self.route_changes.revision)
        self.metrics.waiting.set_function(lambda: self.route_changes.waiting)
        self.route_changes.on_message_refused = self.metrics.redis_refused.inc
        self.metrics.redis.set_function(lambda: self.route_changes.is_connected)
        self.metrics.subscribers.set_function(lambda: len(self.subscribers))
        self.metrics.followers.set_function(lambda: len(self.followers))
        self.metrics.cache_revision.set_function(lambda: self.route_cache.revision)
        self.metrics.limiter.set_function(lambda: self.limiter.degraded)

    @cached_property
    def report_intake(self) -> ReportIntake:
        """Admission of the reports of edges."""
        return ReportIntake(self.limiter, self.policy.reports, self.bounds)

    @cached_property
    def edge_requests(self) -> KeyedPlaces:
        """Places of the requests for routes of each edge."""
        return KeyedPlaces(self.bounds.edge_requests, "requests of this edge", retry_after_s=5)

    @cached_property
    def tenant_writes(self) -> TenantWrites:
        """Admission of the writes of tenants."""
        return TenantWrites(self.bounds)

    def now_ms(self) -> int:
        """Return Unix time in ms, by the clock that stamps writes."""
        return self.store.now_ms()

    def is_active_edge(self, edge_id: bytes) -> bool:
        """Whether an edge is the hub's own or has an active invite, as far as the cache knows."""
        return edge_id == self.keys.node.public or edge_id in self.route_cache.edges

    def stop(self) -> None:
        """Have all streams and long polls end, now and later."""
        self.stopping.set()
        self.route_changes.release()
        self.audit_signal.notify()
        self.log_limit.flush()


async def _hub(request: Request) -> Hub:
    hub: Hub = request.app.state.hub
    return hub


HubDep = Annotated[Hub, Depends(_hub)]
