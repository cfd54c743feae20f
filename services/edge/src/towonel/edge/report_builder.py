"""Builder of the edge's reports to the hub.

A report is never larger than what the hub takes, whatever agents announce. When it would be, counters of services are
left out, and then keys of services, of those sessions that announced the most.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from importlib.metadata import version
from itertools import islice

from pydantic_core import to_json

from towonel.api.certificates.reports import MAX_CERTIFICATES, CertificateReport
from towonel.api.reports import (
    MAX_LISTENERS,
    MAX_SERVICE_TRAFFIC,
    MAX_SESSIONS,
    MAX_TENANTS,
    MAX_TEXTS,
    EdgeReport,
    ListenerReport,
    ServiceTraffic,
    SessionReport,
    TenantTraffic,
)
from towonel.api.traffic import EngineName
from towonel.edge.core.access_log import Way
from towonel.edge.core.route_table import PublicName
from towonel.edge.core.session_ways import Lanes, SessionWay, SessionWays
from towonel.edge.core.traffic import OwnedService, Tally, Traffic
from towonel.edge.data_plane.port_listeners import ListenerFailure
from towonel.edge.metrics import Metrics, sum_samples
from towonel.edge.sessions import Sessions
from towonel.tunnel.session import Session
from towonel.wire.ids import TenantId
from towonel.wire.names import ServiceKey
from towonel.wire.session.balance_hints import to_bits

MAX_REPORT_BYTES = 8 * 1024 * 1024 - 4096  # the hub takes 8 MiB
EDGE_TEXTS = 26  # names of fields and values beside the lists
SESSION_BYTES = 603  # a session without services, at its largest, as JSON
SESSION_TEXTS = 26  # names of fields and values
TENANT_BYTES = 208
TENANT_TEXTS = 6
SERVICE_TEXTS = 2
MAX_LISTENER_DETAIL_CHARS = 100  # in ASCII: the system's word
LISTENER_BYTES = 186
LISTENER_TEXTS = 6
MAX_CERTIFICATE_BYTES = 1024 * 1024  # of all certificates, as JSON
CERTIFICATE_TEXTS = 22
MAX_SOFTWARE_CHARS = 34  # as many as ours has, with versions to come
YIELD_EVERY = 250  # items built before clients get their turn: well below a millisecond


class ReportBuilder:
    """Builder of reports on one edge.

    Args:
        sessions: the agents.
        traffic: the tenants' traffic; swept with each report.
        metrics: the edge's totals.
        lanes_of: returns the lanes of a session.
        listeners: returns the ports of TCP and UDP services, and why each is not listened on, if so.
        certificates: returns what there is to say of each, the most urgent first.
        clock: seconds, monotonic.
        engine: that carries the bytes of clients.
        skew_of: returns how far this machine's clock is ahead of the hub's, in ms, where that is known.

    Attributes:
        is_silent: whether another process of the same edge reports instead.
        takes_certificates: whether the hub has said that it takes certificates.
    """

    def __init__(
        self,
        sessions: Sessions,
        traffic: Traffic,
        metrics: Metrics,
        lanes_of: Callable[[bytes], Lanes],
        listeners: Callable[[], Iterable[tuple[PublicName, ListenerFailure | None]]],
        certificates: Callable[[], Awaitable[Sequence[CertificateReport]]],
        *,
        clock: Callable[[], float],
        engine: EngineName,
        skew_of: Callable[[], int | None],
    ) -> None:
        self._sessions = sessions
        self._traffic = traffic
        self._metrics = metrics
        self._lanes_of = lanes_of
        self._listeners = listeners
        self._certificates = certificates
        self._ways = SessionWays()
        self.is_silent = False
        self.takes_certificates = False
        self._clock = clock
        self._engine: EngineName = engine
        self._skew_of = skew_of
        self._version = version("towonel-edge")
        self._started_at_ms = sessions.now_ms()

    async def build(self) -> EdgeReport:
        """Return a report on the edge as it is now."""
        sessions = self._sessions.all()
        self._traffic.sweep({session.tenant_id for session in sessions}, self._clock())
        return await self._build(sessions)

    async def build_final(self) -> EdgeReport:
        """Return the last report: without agents, and with all that was counted."""
        return (await self._build([])).model_copy(update={"is_final": True})

    async def _build(self, sessions: list[Session]) -> EdgeReport:
        tenants = await _report_tenants(self._traffic.tenants(MAX_TENANTS))
        listeners = await self._report_listeners()
        left_bytes = MAX_REPORT_BYTES - LISTENER_BYTES * len(listeners)
        left_bytes -= TENANT_BYTES * len(tenants)
        left_texts = MAX_TEXTS - EDGE_TEXTS - TENANT_TEXTS * len(tenants)
        left_texts -= LISTENER_TEXTS * len(listeners)
        listed, total = sessions[:MAX_SESSIONS], self._traffic.total()
        known = await self._certificates()  # which are counted, too
        certificates, taken = await self._fit_certificates(
            known,
            left_bytes - SESSION_BYTES * len(listed),
            left_texts - SESSION_TEXTS * len(listed),
        )
        left_texts -= CERTIFICATE_TEXTS * len(certificates)
        reports, left_bytes, left_texts = await self._report_sessions(
            listed, left_bytes - taken, left_texts
        )
        most = min(MAX_SERVICE_TRAFFIC, left_texts // SERVICE_TEXTS)
        services = await fit_services(self._traffic.services(most), left_bytes)
        return EdgeReport(
            version=self._version,
            started_at_ms=self._started_at_ms,
            connections_active=sum_samples(self._metrics.connections_active),
            connections_total=sum_samples(self._metrics.connections),
            refused_total=sum_samples(self._metrics.connections_refused),
            worker_restarts=sum_samples(self._metrics.worker_restarts),
            workers_unstable=sum_samples(self._metrics.workers_unstable),
            engine=self._engine,
            clock_skew_ms=self._skew_of(),
            bytes_in=total.bytes_in,
            bytes_out=total.bytes_out,
            sessions_active=len(sessions),
            sessions=reports,
            tenants=tenants,
            services=services,
            listeners=listeners,
            certificates=certificates,
            certificates_total=len(known) if self.takes_certificates else 0,
        )

    async def _report_listeners(self) -> list[ListenerReport]:
        reports: list[ListenerReport] = []
        for name, failure in islice(self._listeners(), MAX_LISTENERS):
            if len(reports) % YIELD_EVERY == 0:
                await asyncio.sleep(0)
            reports.append(_report_listener(name, failure))
        return reports

    async def _fit_certificates(
        self, known: Sequence[CertificateReport], left_bytes: int, left_texts: int
    ) -> tuple[list[CertificateReport], int]:
        """Return the first certificates that fit, and the bytes they take; none for a hub that takes none."""
        most = min(MAX_CERTIFICATES, max(0, left_texts) // CERTIFICATE_TEXTS)
        left_bytes = min(left_bytes, MAX_CERTIFICATE_BYTES)
        fitting: list[CertificateReport] = []
        taken_bytes = 0
        for number, record in enumerate(known[:most] if self.takes_certificates else ()):
            if number % YIELD_EVERY == 0:
                await asyncio.sleep(0)
            size = len(record.model_dump_json(exclude_defaults=True).encode()) + len(",")
            if taken_bytes + size > left_bytes:
                break
            taken_bytes += size
            fitting.append(record)
        return fitting, taken_bytes

    async def _report_sessions(
        self, sessions: list[Session], left_bytes: int, left_texts: int
    ) -> tuple[list[SessionReport], int, int]:
        """Share what is left evenly; what small sessions do not need goes to the others, and is returned in the end."""
        reports: list[SessionReport] = []
        left_bytes -= SESSION_BYTES * len(sessions)
        left_texts -= SESSION_TEXTS * len(sessions)
        self._ways.keep({session.session_id for session in sessions})
        ways = dict.fromkeys(Way, 0)
        steps = 0
        for session in sorted(sessions, key=lambda session: len(session.services)):
            others = len(sessions) - len(reports)
            services, taken_bytes = fit_keys(
                session.services, left_bytes // others, left_texts // others
            )
            left_bytes -= taken_bytes
            left_texts -= len(services)
            way = self._find_way(session)
            if way.way is not None:
                ways[way.way] += 1
            reports.append(_report_session(session, services, way))
            steps += 1 + len(services)
            if steps >= YIELD_EVERY:
                steps = 0
                await asyncio.sleep(0)
        for name, count in ways.items():
            self._metrics.sessions_by_way.labels(name).set(count)
        return reports, left_bytes, left_texts

    def _find_way(self, session: Session) -> SessionWay:
        lanes = self._lanes_of(session.session_id)
        return self._ways.find(session.session_id, lanes, has_streams=session.has_streams)


async def fit_services(
    tallies: Mapping[OwnedService, Tally], most_bytes: int
) -> list[ServiceTraffic]:
    """Return the counters of the first services that fit into `most_bytes` of JSON."""
    reports: list[ServiceTraffic] = []
    for service, tally in tallies.items():
        if len(reports) % YIELD_EVERY == 0:
            await asyncio.sleep(0)
        counts = tally.connections_active, tally.connections_total, tally.bytes_in, tally.bytes_out
        report = ServiceTraffic(*service, *counts)
        most_bytes -= len(to_json((report.tenant_id.hex(), *report[1:]))) + len(",")
        if most_bytes < 0:
            break
        reports.append(report)
    return reports


async def _report_tenants(tallies: Mapping[TenantId, Tally]) -> list[TenantTraffic]:
    reports: list[TenantTraffic] = []
    for tenant_id, tally in tallies.items():
        if len(reports) % YIELD_EVERY == 0:
            await asyncio.sleep(0)
        reports.append(_report_tenant(tenant_id, tally))
    return reports


def fit_keys(
    services: Iterable[ServiceKey], most_bytes: int, most_keys: int
) -> tuple[list[str], int]:
    """Return the first `most_keys` keys that fit into `most_bytes` of JSON, and the bytes they take."""
    keys: list[str] = []
    taken_bytes = 0
    for key in islice(sorted(map(str, services)), most_keys):
        size = len(key.encode()) + key.count('"') + key.count("\\") + len('"",')
        size += 1  # a bit of those that fail, in hexadecimal, has less
        if taken_bytes + size > most_bytes:
            break
        keys.append(key)
        taken_bytes += size
    return keys, taken_bytes


def _report_session(session: Session, services: list[str], way: SessionWay) -> SessionReport:
    failing = {str(key) for key in session.hints.failing}
    return SessionReport(
        session_id=session.session_id,
        agent_id=session.agent_id,
        tenant_id=session.tenant_id,
        group=session.group,
        peer=session.peer,
        since_ms=session.since_ms,
        services=services,
        active_streams=session.active + way.lanes.in_use,
        software="".join(islice(filter(_is_plain, session.software), MAX_SOFTWARE_CHARS)),
        is_by_tcp=not session.has_streams,
        way=None if way.way is None else way.way.value,
        way_reason=way.reason,
        lanes=(way.lanes.idle, way.lanes.in_use, way.lanes.wanted),
        weight=session.hints.weight,
        failing=to_bits(key in failing for key in services).hex(),
    )


def _report_listener(name: PublicName, failure: ListenerFailure | None) -> ListenerReport:
    if failure is None:
        return ListenerReport(key=name)
    detail = failure.detail[:MAX_LISTENER_DETAIL_CHARS]
    return ListenerReport(key=name, code=failure.code.word, detail=detail)


def _report_tenant(tenant_id: TenantId, tally: Tally) -> TenantTraffic:
    return TenantTraffic(
        tenant_id=tenant_id,
        connections_active=tally.connections_active,
        connections_total=tally.connections_total,
        bytes_in=tally.bytes_in,
        bytes_out=tally.bytes_out,
    )


def _is_plain(char: str) -> bool:
    """Whether a character takes one byte, or two as JSON, and moves no terminal's cursor."""
    return char.isascii() and char.isprintable()
