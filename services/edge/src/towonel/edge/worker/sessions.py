"""Sessions of agents as a worker knows them, indexed by tenant and service."""

from collections.abc import Collection, Iterable

from towonel.edge.core.balance import Balancer
from towonel.edge.worker.messages import SessionAdmitted
from towonel.relay.core.lane_counts import LaneCounts
from towonel.relay.edge_lanes import EdgeLanes, LaneSession
from towonel.relay.loop import TurnGroup
from towonel.wire.errors import Code
from towonel.wire.ids import TenantId
from towonel.wire.names import ServiceKey, ServiceKind


class WorkerSession:
    """Session of one agent; a candidate of the load balancer.

    Args:
        admitted: what control said of it.
        lanes: its lanes here; None where its agent takes none.
        counts: of lanes in other workers.
    """

    def __init__(
        self, admitted: SessionAdmitted, lanes: LaneSession | None, counts: LaneCounts
    ) -> None:
        self.session_id = admitted.session_id
        self.tenant_id = TenantId(admitted.tenant_id)
        self.agent_id = admitted.agent_id
        self.services: set[ServiceKey] = set()
        self.lanes = lanes
        self._has_streams = admitted.has_streams
        self.going_away = False
        self._counts = counts

    @property
    def is_silent(self) -> bool:
        """Never: whether its QUIC connection is silent says nothing about its lanes."""
        return False

    @property
    def active(self) -> int:
        """Clients that it serves now by lanes, in all workers."""
        lanes = self.lanes
        if lanes is None or self._counts.is_alone:
            return 0 if lanes is None else lanes.in_use
        return lanes.in_use + self._counts.sum_elsewhere(lanes.slot).in_use

    @property
    def has_lanes(self) -> bool:
        """Whether any worker has a lane, so that one may get idle soon; without streams, one is waited for."""
        lanes = self.lanes
        if lanes is None:
            return False
        if not self._has_streams or lanes.idle or lanes.in_use:
            return True
        if self._counts.is_alone:
            return False
        elsewhere = self._counts.sum_elsewhere(lanes.slot)
        return bool(elsewhere.idle or elsewhere.in_use)

    def find_idle_elsewhere(self) -> tuple[int, int]:
        """Return how many idle lanes the other worker has that has most of them, and its number."""
        return (0, 0) if self.lanes is None else self._counts.find_idle(self.lanes.slot)


class WorkerSessions:
    """Sessions that a worker may use.

    Args:
        lanes: of all sessions.
        balancer: forgets sessions that have ended.
        streams: clients at once that a session carries.
    """

    def __init__(self, lanes: EdgeLanes, balancer: Balancer, streams: int) -> None:
        self._lanes = lanes
        self._balancer = balancer
        self._streams = streams
        self._sessions: dict[bytes, WorkerSession] = {}
        self._serving: dict[tuple[TenantId, ServiceKey], dict[bytes, WorkerSession]] = {}
        self._by_tenant: dict[TenantId, dict[bytes, WorkerSession]] = {}

    def add(self, admitted: SessionAdmitted) -> None:
        """Use a session, and admit lanes of it where it has a secret."""
        of_tenant = self._by_tenant.setdefault(TenantId(admitted.tenant_id), {})
        own = None
        if admitted.secret:
            own = self._lanes.add_session(
                *(admitted.session_id, admitted.secret, admitted.rtt_s),
                _find_group(of_tenant.values()),
                admitted.slot,
            )
        session = WorkerSession(admitted, own, self._lanes.counts)
        self._sessions[session.session_id] = of_tenant[session.session_id] = session

    def add_services(self, session_id: bytes, texts: list[str]) -> None:
        """Reach more services on a session."""
        session = self._sessions.get(session_id)
        if session is None:
            return
        for service in map(_to_service, texts):
            session.services.add(service)
            of_service = self._serving.setdefault((session.tenant_id, service), {})
            of_service[session_id] = session

    def remove_services(self, session_id: bytes, texts: list[str]) -> None:
        """Reach services on a session no more; clients that are connected go on."""
        session = self._sessions.get(session_id)
        if session is None:
            return
        for service in map(_to_service, texts):
            session.services.discard(service)
            _remove(self._serving, (session.tenant_id, service), session_id)

    def go_away(self, session_id: bytes) -> None:
        """Use a session for no more clients."""
        session = self._sessions.get(session_id)
        if session is not None:
            session.going_away = True
            if session.lanes is not None:
                self._lanes.go_away(session_id)

    def get(self, session_id: bytes) -> WorkerSession | None:
        """Return a session that is live."""
        return self._sessions.get(session_id)

    def end(self, session_id: bytes, *, cut: Code | None) -> None:
        """Forget a session, and end what uses its lanes if it is to be cut for a code."""
        session = self._sessions.pop(session_id, None)
        if session is None:
            return
        for service in session.services:
            _remove(self._serving, (session.tenant_id, service), session_id)
        _remove(self._by_tenant, session.tenant_id, session_id)
        self._balancer.forget(session_id)
        if session.lanes is not None:
            self._lanes.end_session(session_id, cut=cut)

    def find(self, tenant_id: TenantId, service: ServiceKey) -> Collection[WorkerSession]:
        """Return the sessions on which a tenant's service can be reached."""
        return self._serving.get((tenant_id, service), {}).values()

    def places(self, tenant_id: TenantId, service: ServiceKey) -> dict[ServiceKey | None, int]:
        """Return how many clients there can be at once: of all of the tenant (None), and of the service."""
        of_tenant = len(self._by_tenant.get(tenant_id, ()))
        of_service = len(self._serving.get((tenant_id, service), ()))
        return {None: self._streams * of_tenant, service: self._streams * of_service}

    def count_lanes(self) -> tuple[int, int, int]:
        """Return how many lanes are idle, in use, and wanted."""
        idle = in_use = wanted = 0
        for session in self._sessions.values():
            if session.lanes is not None:
                idle += len(session.lanes.idle)
                in_use += session.lanes.in_use
                wanted += session.lanes.wanted
        return idle, in_use, wanted


def _to_service(text: str) -> ServiceKey:
    kind, _, name = text.partition(":")
    return ServiceKey(ServiceKind(kind), name)


def _remove[K](index: dict[K, dict[bytes, WorkerSession]], key: K, session_id: bytes) -> None:
    sessions = index.get(key, {})
    sessions.pop(session_id, None)
    if not sessions:
        index.pop(key, None)


def _find_group(of_tenant: Iterable[WorkerSession]) -> TurnGroup | None:
    """Return the group that a tenant's sessions share: many of them get no more turns of bulk than one."""
    return next((each.lanes.group for each in of_tenant if each.lanes is not None), None)
