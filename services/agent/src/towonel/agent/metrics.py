"""Metrics of the agent; names are the original's where it has them."""

from importlib.metadata import version

from prometheus_client import CollectorRegistry, Counter, Gauge

from towonel.runtime.admin import register_process_metrics

VERSION = version("towonel-agent")


class Metrics:
    """Metrics of the agent, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        register_process_metrics(registry)
        self._add_links(registry)
        self.streams = Gauge(
            "towonel_agent_streams_active", "Client connections carried now.", registry=registry
        )
        self.streams_accepted = Counter(
            "towonel_agent_streams_accepted", "Client connections taken.", registry=registry
        )
        self.streams_completed = Counter(
            "towonel_agent_streams_completed",
            "Client connections that ended well.",
            registry=registry,
        )
        self.stream_errors = Counter(
            "towonel_agent_stream_errors",
            "Client connections that failed, by code.",
            ["reason"],
            registry=registry,
        )
        self.headers_unread = Counter(
            "towonel_agent_origin_headers_unread", "PROXY headers not read.", registry=registry
        )
        self.carried = Counter(
            "towonel_agent_bytes", "Bytes carried.", ["direction"], registry=registry
        )
        self._add_lanes(registry)
        self.info = Gauge("towonel_agent_info", "Always 1.", ["version"], registry=registry)
        self.info.labels(VERSION).set(1)

    def _add_links(self, registry: CollectorRegistry) -> None:
        self.links = Gauge(
            "towonel_agent_links_active", "Edges this agent is linked to.", registry=registry
        )
        self.links_opened = Counter(
            "towonel_agent_edge_connections_accepted", "Links that were opened.", registry=registry
        )
        self.links_refused = Counter(
            "towonel_agent_edge_connections_rejected",
            "Links that failed or ended, by code.",
            ["reason"],
            registry=registry,
        )

    def _add_lanes(self, registry: CollectorRegistry) -> None:
        self.accepted_by_way = Counter(
            "towonel_agent_clients",
            "Client connections taken, by the way they came: lane or stream.",
            ["way"],
            registry=registry,
        )
        self.lanes = Gauge(
            "towonel_agent_lanes",
            "Lanes now: idle, in_use, dialing, or wanted in all.",
            ["state"],
            registry=registry,
        )
        self.lanes_admitted = Counter(
            "towonel_agent_lanes_admitted", "Lanes that edges admitted.", registry=registry
        )
        self.lanes_lost = Counter(
            "towonel_agent_lanes_lost",
            "Lanes that were closed, by code; `normal` in order.",
            ["reason"],
            registry=registry,
        )
        self.lanes_failed = Counter(
            "towonel_agent_lanes_failed",
            "Lanes that were not admitted, by code.",
            ["reason"],
            registry=registry,
        )
        self.worker_restarts = Counter(
            "towonel_agent_worker_restarts",
            "Workers that ended, and were replaced.",
            registry=registry,
        )
