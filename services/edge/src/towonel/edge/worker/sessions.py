"""Sessions of agents as a worker knows them, indexed by tenant and service."""

from collections.abc import Collection, Iterable
from copy import replace
from typing import Protocol, override

from towonel.edge.core.admission import Admission, Ticket
from towonel.edge.core.balance import Balancer
from towonel.edge.worker.counters import WorkerCounters
from towonel.edge.worker.messages import (
    LanesWanted,
    Message,
    SessionAdmitted,
    SessionEnded,
    SessionGoingAway,
    SessionServices,
    SessionWeight,
)
from towonel.relay.core.lane_counts import NO_SLOT, LaneCounts
from towonel.relay.edge_lanes import EdgeLanes, EdgeLanesOwner, LaneSession
from towonel.relay.loop import TurnGroup
from towonel.wire.errors import Code, ProtocolError
from towonel.wire.ids import TenantId
from towonel.wire.lane_admission import tls_pool_id
from towonel.wire.names import ServiceKey, ServiceKind
from towonel.wire.session.balance_hints import BalanceHints


class Sender(Protocol):
    """Sender of messages to control; their descriptors are closed here."""

    def __call__(self, message: Message, descriptors: tuple[int, ...] = ()) -> None: ...


class LaneReports(EdgeLanesOwner):
    """Reports about lanes: how many are wanted, and which of them are no clients any more.

    Args:
        admission: counts a lane as a client until it is admitted or refused.
        counters: count it as well.
        send: to control.
    """

    def __init__(self, admission: Admission, counters: WorkerCounters, send: Sender) -> None:
        self._admission = admission
        self._counters = counters
        self._send = send

    @override
    def on_wanted(self, session: LaneSession) -> None:
        self._send(LanesWanted(session.session_id, session.wanted))

    @override
    def on_settled(self, source: object) -> None:
        assert isinstance(source, Ticket), "as given to `admit`"
        self._admission.release(source)
        self._counters.active -= 1


class WorkerSession:
    """Session of one agent, or its pool of lanes inside TLS; a candidate of the load balancer.

    Args:
        session_id: of the session, or of its pool as of `tls_pool_id`.
        admitted: what control said of it.
        lanes: its lanes here; None where its agent takes none.
        counts: of lanes in other workers.

    Attributes:
        services: that are reached by these lanes.
        has_streams: whether clients may go by streams.
        hints: of its agent.
    """

    def __init__(
        self,
        session_id: bytes,
        admitted: SessionAdmitted,
        lanes: LaneSession | None,
        counts: LaneCounts,
    ) -> None:
        self.session_id = session_id
        self.admitted = admitted
        self.tenant_id = TenantId(admitted.tenant_id)
        self.agent_id = admitted.agent_id
        self.group = admitted.group
        self.hints = BalanceHints(admitted.weight)
        self.services: set[ServiceKey] = set()
        self.lanes = lanes
        self.has_streams = admitted.has_streams
        self.going_away = False
        self._counts = counts

    @property
    def is_silent(self) -> bool:
        """Whether its lanes are; whether its QUIC connection is silent says nothing about these."""
        return self.lanes is not None and self.lanes.silent_lanes > 0

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
        if not self.has_streams or lanes.idle or lanes.in_use:
            return True
        if self._counts.is_alone:
            return False
        elsewhere = self._counts.sum_elsewhere(lanes.slot)
        return bool(elsewhere.idle or elsewhere.in_use)

    def find_idle_elsewhere(self) -> tuple[int, int]:
        """Return how many idle lanes the other worker has that has most of them, and its number."""
        return (0, 0) if self.lanes is None else self._counts.find_idle(self.lanes.slot)


class WorkerSessions:
    """Sessions that a worker may use, and pools of their lanes inside TLS for clients that are not inside TLS themselves.

    Args:
        lanes: of all sessions.
        balancer: forgets sessions that have ended.
        streams: clients at once that a session carries.
        slots: places for sessions in what workers share; as many for pools are behind them.
    """

    def __init__(self, lanes: EdgeLanes, balancer: Balancer, streams: int, slots: int) -> None:
        self._lanes = lanes
        self._balancer = balancer
        self._streams = streams
        self._slots = slots
        self._sessions: dict[bytes, WorkerSession] = {}  # and pools, by their own ids
        self._serving: dict[tuple[TenantId, ServiceKey], dict[bytes, WorkerSession]] = {}
        self._by_tenant: dict[TenantId, dict[bytes, WorkerSession]] = {}

    def change(self, message: Message) -> None:
        """Act on what control says of a session.

        Raises:
            ProtocolError: UNEXPECTED_MESSAGE for what is about anything else.
        """
        match message:
            case SessionAdmitted():
                self.add(message)
            case SessionServices(session_id, services):
                change = self.remove_services if message.ended else self.add_services
                change(session_id, services)
                self._mark(message)
            case SessionWeight(session_id, weight):
                for pool in self._find_pools(session_id):
                    pool.hints = replace(pool.hints, weight=weight)
            case SessionGoingAway(session_id):
                self.go_away(session_id)
            case SessionEnded(session_id, cut):
                self.end(session_id, cut=None if cut is None else Code(cut))
            case _:
                raise ProtocolError(Code.UNEXPECTED_MESSAGE, "control does not send this")

    def add(self, admitted: SessionAdmitted) -> None:
        """Use a session, and admit lanes of it where it has a secret."""
        of_tenant = self._by_tenant.setdefault(TenantId(admitted.tenant_id), {})
        session = self._add_pool(admitted.session_id, admitted, admitted.slot)
        of_tenant[session.session_id] = session

    def add_services(self, session_id: bytes, texts: list[str]) -> None:
        """Reach more services on a session."""
        session = self._sessions.get(session_id)
        if session is None:
            return
        for service in map(_to_service, texts):
            pool = session if service.kind is ServiceKind.HTTPS else self._use_tls_pool(session)
            pool.services.add(service)
            of_service = self._serving.setdefault((session.tenant_id, service), {})
            of_service[pool.session_id] = pool

    def remove_services(self, session_id: bytes, texts: list[str]) -> None:
        """Reach services on a session no more; clients that are connected go on."""
        pools = self._find_pools(session_id)
        for service in map(_to_service, texts):
            for pool in pools:
                pool.services.discard(service)
                _remove(self._serving, (pool.tenant_id, service), pool.session_id)

    def _mark(self, message: SessionServices) -> None:
        services = [_to_service(text) for text in message.services]
        for pool in self._find_pools(message.session_id):
            pool.hints = pool.hints.mark(services, failing=message.failing, sticky=message.sticky)

    def go_away(self, session_id: bytes) -> None:
        """Use a session for no more clients."""
        for pool in self._find_pools(session_id):
            pool.going_away = True
            if pool.lanes is not None:
                self._lanes.go_away(pool.session_id)

    def get(self, session_id: bytes) -> WorkerSession | None:
        """Return a session that is live, or its pool."""
        return self._sessions.get(session_id)

    def end(self, session_id: bytes, *, cut: Code | None) -> None:
        """Forget a session, and end what uses its lanes if it is to be cut for a code."""
        for pool in self._find_pools(session_id):
            del self._sessions[pool.session_id]
            for service in pool.services:
                _remove(self._serving, (pool.tenant_id, service), pool.session_id)
            _remove(self._by_tenant, pool.tenant_id, pool.session_id)
            self._balancer.forget(pool.session_id)
            if pool.lanes is not None:
                self._lanes.end_session(pool.session_id, cut=cut)

    def find(self, tenant_id: TenantId, service: ServiceKey) -> Collection[WorkerSession]:
        """Return the sessions on which a tenant's service can be reached."""
        return self._serving.get((tenant_id, service), {}).values()

    def find_inside_tls(
        self, tenant_id: TenantId, service: ServiceKey
    ) -> Collection[WorkerSession]:
        """Return the same sessions' pools of lanes inside TLS, which this makes where there are none."""
        pools = [self._use_tls_pool(session) for session in self.find(tenant_id, service)]
        return [pool for pool in pools if pool.lanes is not None]

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

    def _find_pools(self, session_id: bytes) -> list[WorkerSession]:
        """Return a session that is live, and its pool inside TLS if it has one."""
        found = map(self._sessions.get, (session_id, tls_pool_id(session_id)))
        return [pool for pool in found if pool is not None]

    def _use_tls_pool(self, session: WorkerSession) -> WorkerSession:
        """Return the pool of a session's lanes inside TLS, which the first service makes that wants it."""
        pool_id, admitted = tls_pool_id(session.session_id), session.admitted
        pool = self._sessions.get(pool_id)
        if pool is None:
            slot = NO_SLOT if admitted.slot == NO_SLOT else admitted.slot + self._slots
            pool = self._add_pool(pool_id, admitted, slot, tls_only=True)
            pool.hints = session.hints
            if session.going_away:
                self.go_away(session.session_id)
        return pool

    def _add_pool(
        self, pool_id: bytes, admitted: SessionAdmitted, slot: int, *, tls_only: bool = False
    ) -> WorkerSession:
        own = None
        if admitted.secret:
            of_tenant = self._by_tenant.get(TenantId(admitted.tenant_id), {})
            own = self._lanes.add_session(
                *(pool_id, admitted.secret, admitted.rtt_s),
                _find_group(of_tenant.values()),
                slot,
            )
            own.tls_only = tls_only
        pool = WorkerSession(pool_id, admitted, own, self._lanes.counts)
        self._sessions[pool_id] = pool
        return pool


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
