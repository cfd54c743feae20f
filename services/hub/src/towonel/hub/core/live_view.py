"""What is live now: the newest reports of all edges, put together.

Ids are hexadecimal, as in the reports. A view is of one moment; make another when a report came or
time has passed.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from towonel.api.reports import EdgeReport, SessionReport, TenantTraffic
from towonel.api.traffic import Traffic

STALE_MS = 35_000  # three reports are missing: the edge is gone, or cannot reach the hub

type Reports = Mapping[str, tuple[int, EdgeReport]]  # edge id -> when the hub got it, and what


@dataclass(frozen=True, slots=True)
class LiveAgent:
    """An agent with at least one session; the software is its newest one's."""

    software: str
    since_ms: int
    edges: tuple[str, ...]
    active_streams: int


@dataclass(frozen=True, slots=True)
class LiveTenant:
    """A tenant with a session, or with a connection not long ago, on any edge."""

    agents: tuple[str, ...] = ()
    traffic: Traffic = field(default_factory=Traffic)


@dataclass(frozen=True, slots=True)
class LiveEdge:
    """An edge that reported just now; its traffic counts from its start on."""

    sessions: int
    traffic: Traffic


@dataclass(frozen=True, slots=True)
class _Seen:
    """A session, and the edge that has it."""

    edge_id: str
    session: SessionReport


class LiveView:
    """What the reports that are not too old say, by id.

    Args:
        reports: the newest one of each edge.
        now_ms: by the clock that stamped the reports when they came.
    """

    def __init__(self, reports: Reports, now_ms: int) -> None:
        fresh = {edge: it for edge, it in sorted(reports.items()) if now_ms - it[0] <= STALE_MS}
        seen = [_Seen(edge, session) for edge, it in fresh.items() for session in it[1].sessions]
        self.edges = {edge: _edge(report) for edge, (_, report) in fresh.items()}
        self.agents = {agent: _agent(of) for agent, of in _by_agent(seen).items()}
        self.tenants = _tenants(
            seen, [told for _, report in fresh.values() for told in report.tenants]
        )
        self._serving = _serving(seen)

    def serving(self, tenant_id: str, key: str) -> tuple[str, ...]:
        """Return the agents that serve a service, `https:app.example.eu` or `tcp:ssh`.

        The tenant is part of the question: an agent of another one that announces the same key
        gets no clients for it.
        """
        return self._serving.get((tenant_id, key), ())

    def tenant(self, tenant_id: str) -> LiveTenant:
        """Return what is live of a tenant; nothing is an answer."""
        return self.tenants.get(tenant_id, LiveTenant())


def _edge(report: EdgeReport) -> LiveEdge:
    return LiveEdge(report.sessions_active, _sum([report]))


def _by_agent(seen: Iterable[_Seen]) -> dict[str, list[_Seen]]:
    found: dict[str, list[_Seen]] = {}
    for one in seen:
        found.setdefault(one.session.agent_id, []).append(one)
    return found


def _agent(seen: list[_Seen]) -> LiveAgent:
    newest = max((one.session for one in seen), key=lambda it: (it.since_ms, it.session_id))
    return LiveAgent(
        software=newest.software,
        since_ms=min(one.session.since_ms for one in seen),
        edges=_once(one.edge_id for one in seen),
        active_streams=sum(one.session.active_streams for one in seen),
    )


def _tenants(seen: Iterable[_Seen], told: Iterable[TenantTraffic]) -> dict[str, LiveTenant]:
    agents: dict[str, list[str]] = {}
    for one in seen:
        agents.setdefault(one.session.tenant_id, []).append(one.session.agent_id)
    traffic: dict[str, list[TenantTraffic]] = {}
    for part in told:
        traffic.setdefault(part.tenant_id, []).append(part)
    return {
        tenant: LiveTenant(_once(agents.get(tenant, ())), _sum(traffic.get(tenant, ())))
        for tenant in agents.keys() | traffic.keys()
    }


def _serving(seen: Iterable[_Seen]) -> dict[tuple[str, str], tuple[str, ...]]:
    found: dict[tuple[str, str], list[str]] = {}
    for one in seen:
        for key in one.session.services:
            found.setdefault((one.session.tenant_id, key), []).append(one.session.agent_id)
    return {key: _once(agents) for key, agents in found.items()}


def _once(ids: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(set(ids)))


def _sum(parts: Iterable[EdgeReport | TenantTraffic]) -> Traffic:
    parts = list(parts)
    return Traffic(
        connections_active=sum(part.connections_active for part in parts),
        connections_total=sum(part.connections_total for part in parts),
        bytes_in=sum(part.bytes_in for part in parts),
        bytes_out=sum(part.bytes_out for part in parts),
    )
