"""Metrics of an edge; labels are codes and states, never names or ids."""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge

from towonel.edge.core.access_log import HUB_WAY, Way
from towonel.edge.core.certificates.issuance import Refusal
from towonel.runtime.admin import register_process_metrics


class Metrics:
    """Metrics of an edge on one registry; a test has a registry of its own."""

    def __init__(self, registry: CollectorRegistry) -> None:
        register_process_metrics(registry)

        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(f"towonel_edge_{name}", text, labels, registry=registry)

        def gauge(name: str, text: str, *labels: str) -> Gauge:
            return Gauge(f"towonel_edge_{name}", text, labels, registry=registry)

        self.connections = counter("connections", "Client connections accepted.")
        self.connections_active = gauge("active_connections", "Client connections now.")
        self.connections_refused = counter(
            "connections_refused", "Client connections that got no service, by code.", "code"
        )
        self.connections_ended = counter(
            "connections_ended", "Client connections that were served, by how they ended.", "code"
        )
        self.accept_errors = counter("accept_errors", "Failures to accept a connection.")
        self.bytes_in = counter("bytes_in", "Bytes from clients to agents.")
        self.bytes_out = counter("bytes_out", "Bytes from agents to clients.")
        self.retries = counter(
            "retries", "Clients tried on another session, by the code of the failed try.", "code"
        )
        self.routes = gauge("routes", "Routes in the table.")
        self.revision = gauge("route_revision", "Revision of the route table.")
        self.index_failures = counter(
            "route_index_failures", "Failures to make the index of routes that workers share."
        )
        self.hub_reachable = gauge("hub_reachable", "1 while the hub answers, else 0.")
        self.clock_skew = gauge(
            "clock_skew_seconds", "Seconds by which this machine's clock is ahead of the hub's."
        )
        self.redis_refused = counter("redis_messages_refused", "Messages of Redis too large.")
        self.reports = counter(
            "reports", "Reports to the hub, by code; `normal` got there.", "code"
        )
        self._add_sessions(counter, gauge)
        self._add_workers(counter, gauge)
        self._add_flows(counter, gauge)
        self._add_certificates(counter, gauge)

    def _add_sessions(self, counter: Callable[..., Counter], gauge: Callable[..., Gauge]) -> None:
        self.sessions = counter("sessions", "Agent sessions admitted.")
        self.sessions_active = gauge("active_sessions", "Agent sessions now.")
        self.sessions_by_tcp = gauge(
            "sessions_by_tcp", "Agent sessions now that go over TCP, because UDP gets no answer."
        )
        self.sessions_failing = gauge(
            "sessions_failing", "Agent sessions now with a service whose origin fails its check."
        )
        self.sessions_refused = counter(
            "sessions_rejected", "Agent sessions refused, by code.", "code"
        )
        self.send_buffer = gauge(
            "send_buffer_bytes", "Bytes sent on sessions that no agent has acknowledged yet."
        )
        self.receive_buffer = gauge("receive_buffer_bytes", "Bytes that no client has taken yet.")
        self.sessions_ended = counter("sessions_ended", "Agent sessions ended, by code.", "code")

    def _add_workers(self, counter: Callable[..., Counter], gauge: Callable[..., Gauge]) -> None:
        self.connections_served = counter(
            "connections_served",
            "Client connections that reached an agent, by way: lane, tls_lane or stream; or the hub (hub).",
            "way",
        )
        for way in (*Way, HUB_WAY):  # so that rates can be asked for from the start
            self.connections_served.labels(way)
        self.lanes = gauge("lanes", "Lanes of agents now: idle, in_use, or wanted in all.", "state")
        self.lanes_admitted = counter(
            "lanes_admitted",
            "Lanes of agents admitted: plain (lane) or inside TLS (tls_lane).",
            "way",
        )
        self.lanes_refused = counter("lanes_refused", "Lanes of agents refused, by code.", "code")
        self.lanes_lost = counter("lanes_lost", "Lanes of agents lost, by code.", "code")
        self.http_requests = counter(
            "http_requests",
            "Requests at the address for plain HTTP, by answer: redirect, challenge or refused.",
            "answer",
        )
        for answer in ("redirect", "challenge", "refused"):
            self.http_requests.labels(answer)
        self.access_lines_dropped = counter(
            "access_lines_dropped", "Lines of the access log left out: there were too many."
        )
        self.sessions_by_way = gauge(
            "sessions_by_way",
            "Agent sessions by the way of their clients, at the last report.",
            "way",
        )
        self.info = gauge("info", "Always 1.", "version", "engine", "region")
        self.worker_restarts = counter("worker_restarts", "Workers that ended, and were replaced.")
        self.workers_unstable = gauge(
            "workers_unstable", "Workers that have ended three times within five minutes."
        )

    def _add_certificates(
        self, counter: Callable[..., Counter], gauge: Callable[..., Gauge]
    ) -> None:
        self.certificates = gauge("certificates", "Certificates of names whose TLS ends here.")
        self.certificate_expiry = gauge(
            "certificate_next_expiry_seconds",
            "Unix time at which the first certificate of a published name ends; 0 without any.",
        )
        self.certificates_by_state = gauge(
            "certificates_by_state",
            "Published names whose TLS ends here, by the state of their certificate.",
            "state",
        )
        self.certificates_failing = gauge(
            "certificates_failing",
            "Those of these names whose last order failed, or whose files cannot be used.",
        )
        self.certificate_orders = counter(
            "certificate_orders",
            "Orders of certificates: issued, failed, or refused by a budget or after failures.",
            "result",
        )
        for result in (
            "issued",
            "failed",
            "refused",
        ):  # so that rates can be asked for from the start
            self.certificate_orders.labels(result)
        self.certificate_orders_refused = counter(
            "certificate_orders_refused",
            "Orders of certificates that were not made, by reason.",
            "reason",
        )
        for refusal in Refusal:
            self.certificate_orders_refused.labels(refusal)
        self.certificate_orders_queued = gauge(
            "certificate_orders_queued", "Names whose orders wait for their turn."
        )

    def _add_flows(self, counter: Callable[..., Counter], gauge: Callable[..., Gauge]) -> None:
        self.listeners = gauge(
            "listeners",
            "Ports of TCP and UDP services: listening, or failed to and tried again.",
            "protocol",
            "state",
        )
        self.flows_active = gauge("active_flows", "Flows of UDP clients now.")
        self.flows = counter("flows", "Flows of UDP clients opened.")
        self.flows_ended = counter("flows_ended", "Flows of UDP clients ended, by code.", "code")
        self.flows_refused = counter(
            "flows_refused", "Datagrams of UDP clients that got no flow, by code.", "code"
        )
        self.datagrams_in = counter("datagrams_in", "Datagrams from UDP clients to agents.")
        self.datagrams_out = counter("datagrams_out", "Datagrams from agents to UDP clients.")
        self.datagrams_dropped = counter(
            "datagrams_dropped", "Datagrams and sealed packets dropped, by reason.", "reason"
        )
        self.datagram_paths = gauge(
            "datagram_paths",
            "Agent sessions with UDP services by whether sealed packets pass: up, down or unknown.",
            "state",
        )


def sum_samples(metric: Counter | Gauge) -> int:
    """Return a metric's value, summed over all labels: the very figure that is scraped."""
    return int(
        sum(
            sample.value
            for family in metric.collect()
            for sample in family.samples
            if not sample.name.endswith("_created")
        )
    )
