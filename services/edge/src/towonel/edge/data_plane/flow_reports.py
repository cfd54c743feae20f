"""Reports of the flow worker, as control counts and logs them."""

from ipaddress import ip_address

import structlog

from towonel.edge.core.traffic import Traffic
from towonel.edge.data_plane.service_clients import ServiceClients
from towonel.edge.flows.messages import Counters, Refused
from towonel.edge.metrics import Metrics
from towonel.edge.streams.refusals import ClientRecord, Refusals
from towonel.wire.errors import Code
from towonel.wire.proxy import Address

log: structlog.stdlib.BoundLogger = structlog.get_logger()


class FlowReports:
    """Reports of the flow worker.

    Args:
        metrics: what is counted.
        traffic: what is counted for each tenant.
        refusals: writes lines about refused clients.
    """

    def __init__(self, metrics: Metrics, traffic: Traffic, refusals: Refusals) -> None:
        self._metrics = metrics
        self._refusals = refusals
        self._services = ServiceClients(traffic)

    def log(self, refused: Refused) -> None:
        """Write a line about clients that got no flow."""
        host, port = refused.peer
        tenant = None if refused.tenant_id is None else refused.tenant_id.hex()
        record = ClientRecord(Address(ip_address(host), port), None, tenant, refused.service)
        self._refusals.log(record, Code(refused.code), refused.detail, refused.count)

    def count(self, counters: Counters) -> None:
        """Count what the worker has counted."""
        metrics = self._metrics
        metrics.flows_active.set(counters.active)
        metrics.flows.inc(counters.opened)
        metrics.datagrams_in.inc(counters.datagrams_in)
        metrics.datagrams_out.inc(counters.datagrams_out)
        metrics.bytes_in.inc(counters.bytes_in)
        metrics.bytes_out.inc(counters.bytes_out)
        for metric, counts in (
            (metrics.flows_ended, counters.ended),
            (metrics.flows_refused, counters.refused),
        ):
            for code, count in counts:
                metric.labels(Code(code).word).inc(count)
        for reason, count in counters.dropped:
            metrics.datagrams_dropped.labels(reason).inc(count)
        for state, count in counters.paths:
            metrics.datagram_paths.labels(state).set(count)
        self._services.count(counters.services)

    def log_crash(self, traceback: str) -> None:
        """Write a line about a bug of ours."""
        log.error("flow.crashed", traceback=traceback)

    def lose(self, reason: str) -> None:
        """Count flows no more, whose worker is gone."""
        log.error("flow_worker.lost", reason=reason, flows=self._services.total)
        self._metrics.worker_restarts.inc()
        self._metrics.flows_active.set(0)
        self._services.lose()
