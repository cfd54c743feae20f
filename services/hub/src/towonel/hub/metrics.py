"""What the hub counts; names are the original's where it has them."""

from importlib.metadata import version

from prometheus_client import CollectorRegistry, Counter, Gauge, ProcessCollector

VERSION = version("towonel-hub")


class Metrics:
    """The hub's metrics, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.requests = Counter(
            "towonel_hub_requests",
            "Answered requests, by route template and status.",
            ["endpoint", "status"],
            registry=self.registry,
        )
        self.refused = Counter(
            "towonel_hub_refused", "Refused requests, by code.", ["code"], registry=self.registry
        )
        self.invites = Gauge(
            "towonel_hub_invites", "Invites, by status.", ["status"], registry=self.registry
        )
        self.tenants = Gauge(
            "towonel_hub_tenants_total", "Invites that are not revoked.", registry=self.registry
        )
        self.revision = Gauge(
            "towonel_hub_routes_revision", "Number of the last change.", registry=self.registry
        )
        self.waiting = Gauge(
            "towonel_hub_route_waiters", "Edges that wait for a change.", registry=self.registry
        )
        self.entries_accepted = Counter(
            "towonel_hub_entries_accepted",
            "Signed entries that were applied.",
            registry=self.registry,
        )
        self.entries_rejected = Counter(
            "towonel_hub_entries_rejected",
            "Signed entries that were refused, by reason.",
            ["reason"],
            registry=self.registry,
        )
        self.subscribers = Gauge(
            "towonel_hub_sse_subscribers_connected",
            "Streams of routes in the original's form.",
            registry=self.registry,
        )
        self.followers = Gauge(
            "towonel_hub_event_followers", "Streams of events.", registry=self.registry
        )
        self.agents_live = Gauge(
            "towonel_hub_agents_live",
            "Agents that an edge has a session with.",
            registry=self.registry,
        )
        self.edges_live = Gauge(
            "towonel_hub_edges_live", "Edges that reported just now.", registry=self.registry
        )
        self.database = Gauge(
            "towonel_hub_database_up", "1 while the database answers.", registry=self.registry
        )
        self.directory = Gauge(
            "towonel_hub_directory_revision",
            "Revision that edges are answered from.",
            registry=self.registry,
        )
        self.limiter = Gauge(
            "towonel_hub_limiter_degraded",
            "1 while limits are kept by this process alone.",
            registry=self.registry,
        )
        self.redis = Gauge(
            "towonel_hub_redis_connected", "1 while Redis is listened to.", registry=self.registry
        )
