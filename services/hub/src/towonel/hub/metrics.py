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
        self.redis = Gauge(
            "towonel_hub_redis_connected", "1 while Redis is listened to.", registry=self.registry
        )
