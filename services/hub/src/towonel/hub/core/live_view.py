"""Aggregated view of the newest reports of all edges: live agents, tenants and edges.

A view is a snapshot; make another when a report arrives or time passes. It takes the models of the
API, which are frozen values without IO: copies of them here would be the same fields twice.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from towonel.api.certificates.reports import CertificateReport
from towonel.api.reports import (
    EdgeReport,
    ListenerReport,
    ServiceTraffic,
    SessionReport,
    TenantTraffic,
)
from towonel.api.traffic import EngineName, Traffic

NO_TRAFFIC = Traffic()
STALE_MS = 35_000  # three reports are missing: the edge was killed, or cannot reach the hub

type Reports = Mapping[bytes, tuple[int, EdgeReport]]  # edge id -> time of arrival, and the report


@dataclass(frozen=True, slots=True)
class LiveAgent:
    """Agent with at least one session, of which one may go over TCP; `software` is that of the newest.

    `reported_at_ms` is when the newest report that names it arrived.
    """

    reported_at_ms: int
    software: str
    since_ms: int
    edges: tuple[bytes, ...]
    active_streams: int
    is_by_tcp: bool
    weight: int | None = None
    services_failing: tuple[str, ...] = ()
    sessions: tuple["LiveSession", ...] = ()


@dataclass(frozen=True, slots=True)
class LiveSession:
    """Session of an agent, as its edge reported it."""

    edge_id: bytes
    report: SessionReport


@dataclass(frozen=True, slots=True)
class LiveListener:
    """Port of a service on an edge, as that one reported it, or ports of its range that are alike."""

    edge_id: bytes
    report: ListenerReport


@dataclass(frozen=True, slots=True)
class LiveCertificate:
    """Certificate of a name on an edge, as that one reported it, or that it wants one."""

    edge_id: bytes
    report: CertificateReport

    @property
    def key(self) -> tuple[str, bytes]:
        """The name and the edge, by which they are in order."""
        return self.report.hostname, self.edge_id


@dataclass(frozen=True, slots=True)
class LiveTenant:
    """Tenant with a session or a recent connection on any edge."""

    agents: tuple[bytes, ...] = ()
    traffic: Traffic = field(default_factory=Traffic)


@dataclass(frozen=True, slots=True)
class LiveEdge:
    """Edge with a fresh report; its traffic counts from its start, and one of an older version names no engine."""

    sessions: int
    traffic: Traffic
    worker_restarts: int = 0
    workers_unstable: int = 0
    engine: EngineName | None = None
    clock_skew_ms: int | None = None


@dataclass(frozen=True, slots=True)
class _EdgeSession:
    """Session, its edge and when that one reported it."""

    edge_id: bytes
    reported_at_ms: int
    session: SessionReport


class LiveView:
    """View of all fresh reports of edges that have not ended, by id.

    `failing_ports` are the routes of ports, `tcp:2222`, that one of these edges does not listen on; `certificates` are
    those of all edges, by name and edge.

    Args:
        reports: the newest report of each edge.
        now_ms: by the clock that stamped the reports on arrival.
    """

    def __init__(self, reports: Reports, now_ms: int) -> None:
        fresh = {
            edge: (at_ms, report)
            for edge, (at_ms, report) in sorted(reports.items())
            if is_fresh(at_ms, now_ms) and not report.is_final
        }
        sessions = [
            _EdgeSession(edge, at_ms, session)
            for edge, (at_ms, report) in fresh.items()
            for session in report.sessions
        ]
        self.edges = {edge: _edge(report) for edge, (_, report) in fresh.items()}
        self.agents = {agent: _agent(of) for agent, of in _by_agent(sessions).items()}
        traffic = [part for _, report in fresh.values() for part in report.tenants]
        self.tenants = _tenants(sessions, traffic)
        self._services = _index_traffic(
            part for _, report in fresh.values() for part in report.services
        )
        self._serving = _index_by_service(sessions)
        self._listeners = _index_listeners(fresh)
        self.failing_ports = frozenset(
            one.key for _, report in fresh.values() for one in report.listeners if one.code
        )
        self.certificates = _sort_certificates(fresh)

    def agents_serving(self, tenant_id: bytes, key: str) -> tuple[bytes, ...]:
        """Return the agents that serve a service, `https:app.example.eu` or `tcp:ssh`.

        An agent of another tenant that announces the same key is not included.
        """
        return self._serving.get((tenant_id, key), ())

    def traffic_of(self, tenant_id: bytes, key: str) -> Traffic:
        """Return the traffic of a service, by the key that its agents announce."""
        return self._services.get((tenant_id, key), NO_TRAFFIC)

    def count_failing(self, tenant_id: bytes, key: str) -> int:
        """Return how many of the agents that serve a service have an origin that fails its check."""
        serving = self.agents_serving(tenant_id, key)
        return sum(key in self.agents[agent].services_failing for agent in serving)

    def listeners(self, key: str) -> tuple[LiveListener, ...]:
        """Return what each edge reported of a route's port or ports, `tcp:2222`, by the edge's id."""
        return self._listeners.get(key, ())

    def tenant(self, tenant_id: bytes) -> LiveTenant:
        """Return the live agents and traffic of a tenant; both may be empty."""
        return self.tenants.get(tenant_id, LiveTenant())


def is_fresh(reported_at_ms: int, now_ms: int) -> bool:
    """Tell whether a report is live; one from beyond what clocks differ is of a clock put back since."""
    return abs(now_ms - reported_at_ms) <= STALE_MS


def _edge(report: EdgeReport) -> LiveEdge:
    return LiveEdge(
        report.sessions_active,
        _sum([report]),
        report.worker_restarts,
        report.workers_unstable,
        report.engine,
        report.clock_skew_ms,
    )


def _by_agent(sessions: Iterable[_EdgeSession]) -> dict[bytes, list[_EdgeSession]]:
    found: dict[bytes, list[_EdgeSession]] = {}
    for one in sessions:
        found.setdefault(one.session.agent_id, []).append(one)
    return found


def _agent(sessions: list[_EdgeSession]) -> LiveAgent:
    newest = max((one.session for one in sessions), key=lambda it: (it.since_ms, it.session_id))
    return LiveAgent(
        reported_at_ms=max(one.reported_at_ms for one in sessions),
        software=newest.software,
        since_ms=min(one.session.since_ms for one in sessions),
        edges=_sorted_ids(one.edge_id for one in sessions),
        active_streams=sum(one.session.active_streams for one in sessions),
        is_by_tcp=any(one.session.is_by_tcp for one in sessions),
        weight=newest.weight,
        services_failing=tuple(
            sorted({key for one in sessions for key in one.session.services_failing})
        ),
        sessions=tuple(LiveSession(one.edge_id, one.session) for one in sessions),
    )


def _tenants(
    sessions: Iterable[_EdgeSession], traffic: Iterable[TenantTraffic]
) -> dict[bytes, LiveTenant]:
    agents: dict[bytes, list[bytes]] = {}
    for one in sessions:
        agents.setdefault(one.session.tenant_id, []).append(one.session.agent_id)
    parts: dict[bytes, list[TenantTraffic]] = {}
    for part in traffic:
        parts.setdefault(part.tenant_id, []).append(part)
    return {
        tenant: LiveTenant(_sorted_ids(agents.get(tenant, ())), _sum(parts.get(tenant, ())))
        for tenant in agents.keys() | parts.keys()
    }


def _index_by_service(
    sessions: Iterable[_EdgeSession],
) -> dict[tuple[bytes, str], tuple[bytes, ...]]:
    found: dict[tuple[bytes, str], list[bytes]] = {}
    for one in sessions:
        for key in one.session.services:
            found.setdefault((one.session.tenant_id, key), []).append(one.session.agent_id)
    return {key: _sorted_ids(agents) for key, agents in found.items()}


def _index_traffic(traffic: Iterable[ServiceTraffic]) -> dict[tuple[bytes, str], Traffic]:
    found: dict[tuple[bytes, str], list[ServiceTraffic]] = {}
    for part in traffic:
        found.setdefault((part.tenant_id, part.key), []).append(part)
    return {key: _sum(parts) for key, parts in found.items()}


def _index_listeners(
    fresh: Mapping[bytes, tuple[int, EdgeReport]],
) -> dict[str, tuple[LiveListener, ...]]:
    found: dict[str, dict[tuple[bytes, str], LiveListener]] = {}
    for edge, (_, report) in fresh.items():
        for one in report.listeners:  # of a port that is named twice, the last one counts
            found.setdefault(one.key, {})[edge, one.ports] = LiveListener(edge, one)
    return {key: tuple(listeners.values()) for key, listeners in found.items()}


def _sort_certificates(
    fresh: Mapping[bytes, tuple[int, EdgeReport]],
) -> tuple[LiveCertificate, ...]:
    found = {
        each.key: each  # of a name that an edge reports twice, the last one counts
        for edge, (_, report) in fresh.items()
        for each in (LiveCertificate(edge, one) for one in report.certificates)
    }
    return tuple(found[key] for key in sorted(found))


def _sorted_ids(ids: Iterable[bytes]) -> tuple[bytes, ...]:
    return tuple(sorted(set(ids)))


def _sum(parts: Iterable[EdgeReport | TenantTraffic | ServiceTraffic]) -> Traffic:
    parts = list(parts)
    return Traffic(
        connections_active=sum(part.connections_active for part in parts),
        connections_total=sum(part.connections_total for part in parts),
        bytes_in=sum(part.bytes_in for part in parts),
        bytes_out=sum(part.bytes_out for part in parts),
    )
