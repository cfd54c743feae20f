"""Prometheus metrics of the hub; names are the original's where it has them."""

from functools import partial
from importlib.metadata import version

from prometheus_client import CollectorRegistry, Counter, Gauge

from towonel.runtime.admin import register_process_metrics

VERSION = version("towonel-hub")


class Metrics:
    """Metrics of one hub, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        register_process_metrics(self.registry)
        counter = partial(Counter, registry=self.registry)
        gauge = partial(Gauge, registry=self.registry)

        self.requests = counter(
            "towonel_hub_requests",
            "Answered requests, by route template and status.",
            ["endpoint", "status"],
        )
        self.refused = counter("towonel_hub_refused", "Refused requests, by code.", ["code"])
        self.body_bytes = gauge("towonel_hub_body_bytes", "Bytes of bodies of unknown senders.")
        self.awaited_bodies = gauge("towonel_hub_awaited_bodies", "Bodies that are awaited.")
        self.invites = gauge("towonel_hub_invites", "Invites, by status.", ["status"])
        self.tenants = gauge("towonel_hub_tenants_total", "Invites that are not revoked.")
        self.revision = gauge("towonel_hub_routes_revision", "Number of the last change.")
        self.waiting = gauge("towonel_hub_route_waiters", "Edges that wait for a change.")
        self.entries_accepted = counter("towonel_hub_entries_accepted", "Applied signed entries.")
        self.entries_rejected = counter(
            "towonel_hub_entries_rejected",
            "Signed entries that were refused, by reason.",
            ["reason"],
        )
        self.subscribers = gauge(
            "towonel_hub_sse_subscribers_connected", "Streams of routes in the original's form."
        )
        self.followers = gauge("towonel_hub_event_followers", "Streams of events.")
        self.agents_live = gauge("towonel_hub_agents_live", "Agents that have a session.")
        self.edges_live = gauge("towonel_hub_edges_live", "Edges that reported just now.")
        self.database = gauge("towonel_hub_database_up", "1 while the database takes writes.")
        self.cache_revision = gauge(
            "towonel_hub_directory_revision", "Revision that edges are answered from."
        )
        self.limiter = gauge(
            "towonel_hub_limiter_degraded", "1 while limits are kept by this process alone."
        )
        self.redis = gauge("towonel_hub_redis_connected", "1 while Redis is listened to.")
        self.redis_refused = counter("towonel_hub_redis_messages_refused", "Messages too large.")
