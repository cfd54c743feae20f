"""Metrics of the agent; names are the original's where it has them."""

from functools import partial
from importlib.metadata import version

from prometheus_client import CollectorRegistry, Counter, Gauge

from towonel.runtime.admin import register_process_metrics

VERSION = version("towonel-agent")


class Metrics:
    """Metrics of the agent, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        register_process_metrics(registry)
        gauge, counter = partial(Gauge, registry=registry), partial(Counter, registry=registry)
        self.links = gauge("towonel_agent_links_active", "Edges this agent is linked to.")
        self.links_by_tcp = gauge(
            "towonel_agent_links_by_tcp", "Edges linked to over TCP, because UDP gets no answer."
        )
        self.links_opened = counter(
            "towonel_agent_edge_connections_accepted", "Links that were opened."
        )
        self.links_refused = counter(
            "towonel_agent_edge_connections_rejected",
            "Links that failed or ended, by code.",
            ["reason"],
        )
        self.streams = gauge("towonel_agent_streams_active", "Client connections carried now.")
        self.streams_accepted = counter(
            "towonel_agent_streams_accepted", "Client connections taken."
        )
        self.streams_completed = counter(
            "towonel_agent_streams_completed", "Client connections that ended well."
        )
        self.stream_errors = counter(
            "towonel_agent_stream_errors", "Client connections that failed, by code.", ["reason"]
        )
        self.headers_unread = counter(
            "towonel_agent_origin_headers_unread", "PROXY headers not read."
        )
        self.carried = counter("towonel_agent_bytes", "Bytes carried.", ["direction"])
        self._add_hub(registry)
        self._add_lanes(registry)
        self._add_checks(registry)
        self._add_flows(registry)
        self.info = gauge("towonel_agent_info", "Always 1.", ["version", "engine"])

    def _add_hub(self, registry: CollectorRegistry) -> None:
        gauge = partial(Gauge, registry=registry)
        self.unpublished = gauge(
            "towonel_agent_services_unpublished", "Services that the hub does not publish any more."
        )
        self.clock_skew = gauge(
            "towonel_agent_clock_skew_seconds",
            "Seconds by which this machine's clock is ahead of the hub's.",
        )

    def _add_lanes(self, registry: CollectorRegistry) -> None:
        gauge, counter = partial(Gauge, registry=registry), partial(Counter, registry=registry)
        self.accepted_by_way = counter(
            "towonel_agent_clients",
            "Client connections taken, by the way they came: lane, tls_lane or stream.",
            ["way"],
        )
        for way in ("lane", "tls_lane", "stream"):  # so that rates can be asked for from the start
            self.accepted_by_way.labels(way)
        self.lanes = gauge(
            "towonel_agent_lanes",
            "Lanes now: idle, in_use, dialing, or wanted in all.",
            ["state"],
        )
        self.links_with_lanes = gauge(
            "towonel_agent_links_with_lanes",
            "Edges whose lanes there are; clients of others go by stream.",
        )
        self.lanes_admitted = counter(
            "towonel_agent_lanes_admitted",
            "Lanes that edges admitted: plain (lane) or inside TLS (tls_lane).",
            ["way"],
        )
        self.lanes_lost = counter(
            "towonel_agent_lanes_lost",
            "Lanes that were closed, by code; `normal` in order.",
            ["reason"],
        )
        self.lanes_failed = counter(
            "towonel_agent_lanes_failed", "Lanes that were not admitted, by code.", ["reason"]
        )
        self.worker_restarts = counter(
            "towonel_agent_worker_restarts", "Workers that ended, and were replaced."
        )
        self.workers_unstable = gauge(
            "towonel_agent_workers_unstable",
            "Workers that have ended three times within five minutes.",
        )

    def _add_checks(self, registry: CollectorRegistry) -> None:
        gauge, counter = partial(Gauge, registry=registry), partial(Counter, registry=registry)
        self.origin_checks = counter(
            "towonel_agent_origin_checks", "Checks of origins made: passed or failed.", ["result"]
        )
        for result in ("passed", "failed"):  # so that rates can be asked for from the start
            self.origin_checks.labels(result)
        self.origins_failing = gauge(
            "towonel_agent_origins_failing", "Services whose origins fail their checks."
        )

        self.public_certificates = gauge(
            "towonel_agent_public_certificates",
            "Names whose clients see the origin's certificate (same), another one (different), or could not be asked (unseen).",
            ["state"],
        )
        for state in ("same", "different", "unseen"):
            self.public_certificates.labels(state)

    def _add_flows(self, registry: CollectorRegistry) -> None:
        gauge, counter = partial(Gauge, registry=registry), partial(Counter, registry=registry)
        self.flows_active = gauge("towonel_agent_active_flows", "Flows of UDP clients now.")
        self.flows = counter("towonel_agent_flows", "Flows of UDP clients opened.")
        self.flows_ended = counter(
            "towonel_agent_flows_ended", "Flows of UDP clients ended, by code.", ["reason"]
        )
        self.datagrams = counter(
            "towonel_agent_datagrams", "Datagrams of UDP services.", ["direction"]
        )
        self.datagrams_dropped = counter(
            "towonel_agent_datagrams_dropped",
            "Datagrams and sealed packets dropped, by reason.",
            ["reason"],
        )
        self.datagram_paths = gauge(
            "towonel_agent_datagram_paths",
            "Edges by whether sealed packets of UDP services pass: up, down or unknown.",
            ["state"],
        )
