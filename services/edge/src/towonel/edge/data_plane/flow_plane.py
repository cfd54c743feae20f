"""UDP side of an edge's data plane, as control sees it: its ports, its agents' secrets, and the flow worker."""

import asyncio
import errno
import os
import socket
from collections.abc import Callable, Sequence
from itertools import batched
from random import Random
from typing import Final, override

from towonel.edge.core.route_table import RouteTable, name_port
from towonel.edge.core.traffic import Traffic
from towonel.edge.data_plane.flow_reports import FlowReports
from towonel.edge.data_plane.flow_secrets import FlowSecrets
from towonel.edge.data_plane.port_listeners import RETRY_S, PortListeners
from towonel.edge.data_plane.shared_memory import SharedMemory
from towonel.edge.flows.messages import (
    CODEC,
    Counters,
    Message,
    PortOpened,
    Refused,
    Route,
    RouteEnded,
    SealedSocket,
    SessionAdmitted,
    SessionEnded,
    SessionSecret,
    SessionServices,
    Start,
    TenantLimited,
)
from towonel.edge.metrics import Metrics
from towonel.edge.sessions import SessionObserver, Sessions
from towonel.edge.streams.refusals import Refusals
from towonel.edge.worker.messages import (
    CarrierOffered,
    Crashed,
    PortClosed,
    Ready,
    SessionGoingAway,
    SessionWeight,
)
from towonel.relay.channel import ChannelMessage
from towonel.relay.flows.sockets import bind_datagrams
from towonel.relay.supervisor import Control, Worker, supervise
from towonel.relay.supervisor import Start as StartWorker
from towonel.tunnel.core.events import SecretRequested
from towonel.tunnel.session import Session
from towonel.wire.errors import Code, ProtocolError
from towonel.wire.ids import TenantId
from towonel.wire.names import ServiceKey, ServiceKind
from towonel.wire.policy.tenant_limits import NO_LIMITS, TenantLimits
from towonel.wire.routes import RouteDelta
from towonel.wire.session.balance_hints import BalanceHints

ROTATE_S: Final = 3600.0  # until every agent gets a new secret
_NAMES_AT_ONCE: Final = 200  # of services in one message


class FlowPlane(Control, SessionObserver):
    """UDP side of the data plane.

    Args:
        table: the routes.
        sessions: of agents.
        metrics: what is counted.
        traffic: what is counted for each tenant.
        refusals: writes lines about refused clients.
        host: address where UDP services are listened for.
        carry: has a worker take a connection to a session's agent by a lane, as of a port's service.

    Attributes:
        limits: of the worker; set before it runs, as all of these are.
        shared: memory in which it keeps limits of tenants together with the other workers.
        start_worker: starts it.
        sealed: socket of packets from agents; None where the system does not tell them from those of QUIC.
        ports: listeners of UDP services.
    """

    limits: Start
    shared: SharedMemory
    start_worker: StartWorker

    def __init__(
        self,
        table: RouteTable,
        sessions: Sessions,
        metrics: Metrics,
        traffic: Traffic,
        refusals: Refusals,
        host: str,
        carry: Callable[[bytes, int, int], None],
    ) -> None:
        self._table = table
        self._sessions = sessions
        self._reports = FlowReports(metrics, traffic, refusals)
        self._host = host
        self._carry = carry
        self._secrets = FlowSecrets()
        self._limits: dict[TenantId, TenantLimits] = {}  # that the worker knows, of its tenants
        self._worker: Worker | None = None
        self._wanted, self._stopping = asyncio.Event(), asyncio.Event()
        self.sealed: socket.socket | None = None
        self.ports = PortListeners(
            ServiceKind.UDP, table, self._bind, self._open_port, self._close_port, metrics
        )

    async def run(self, rng: Random) -> None:
        """Run the worker from the first port on, and let no secret get old."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.ports.retry(RETRY_S))
            tasks.create_task(self._rotate())
            await self._wanted.wait()
            async with supervise(self, self.start_worker, rng):
                await self._stopping.wait()

    def change(self, delta: RouteDelta) -> None:
        """Act on a change that the table has taken."""
        self.ports.change(delta)
        for tenant_id in self._limits:
            self._tell_limits(tenant_id)
        for route in delta.routes:
            if route.kind is ServiceKind.UDP and route.port in self.ports.sockets:
                self._tell_route(route.port)

    def stop(self) -> None:
        """End all flows, and read no datagram any more: another process may have the sockets."""
        self._stopping.set()
        self.ports.close()

    def close(self) -> None:
        """Close all sockets."""
        self.ports.close()
        if self.sealed is not None:
            self.sealed.close()

    # Ports.

    def _bind(self, port: int) -> socket.socket:
        if self.sealed is None:
            raise OSError(errno.EOPNOTSUPP, "the system has no filters for a shared UDP port")
        return bind_datagrams(self._host, port)

    def _open_port(self, port: int, sock: socket.socket) -> None:
        self._wanted.set()
        self._tell_port(port, sock)

    def _close_port(self, port: int) -> None:
        self._tell(PortClosed(port))
        self._tell(RouteEnded(port))

    def _tell_port(self, port: int, sock: socket.socket) -> None:
        self._tell_route(port)
        self._tell(PortOpened(port), [os.dup(sock.fileno())])

    def _tell_route(self, port: int) -> None:
        route = self._table.lookup(name_port(port, ServiceKind.UDP))
        if route is not None:
            clients = "" if route.clients is None else route.clients.encode()
            self._limits.setdefault(route.tenant_id, NO_LIMITS)
            self._tell_limits(route.tenant_id)
            self._tell(Route(port, route.name, route.tenant_id, clients))

    def _tell_limits(self, tenant_id: TenantId) -> None:
        limits = self._table.limits.get(tenant_id, NO_LIMITS)
        if limits != self._limits[tenant_id]:
            self._limits[tenant_id] = limits
            known = limits.connections, limits.connection_rate, limits.bandwidth
            self._tell(TenantLimited(tenant_id, *known))

    # Sessions.

    @override
    def on_admitted(self, session: Session) -> None:
        self._take(session, session.services)

    @override
    def on_going_away(self, session: Session) -> None:
        if session.session_id in self._secrets:
            self._tell(SessionGoingAway(session.session_id))

    @override
    def on_services_changed(
        self, session: Session, before: frozenset[ServiceKey], hints: BalanceHints
    ) -> None:
        after, marked = session.services, session.hints.find_marked_anew(hints)
        self._take(session, (after - before) | (after & marked))
        if session.session_id in self._secrets and session.hints.weight != hints.weight:
            self._tell(SessionWeight(session.session_id, session.hints.weight))
        self._tell_services(session, before - after, ended=True)

    @override
    def on_ended(self, session: Session, code: Code) -> None:
        if self._secrets.forget(session.session_id):
            self._tell(SessionEnded(session.session_id))

    def _take(self, session: Session, services: frozenset[ServiceKey]) -> None:
        """Reach services on a session; the first of UDP gets it a secret."""
        if not any(key.kind is ServiceKind.UDP for key in services):
            return
        if session.session_id not in self._secrets:
            self._tell(_admitted(session))
            self._add_secret(session)
        self._tell_services(session, services)

    def _tell_services(
        self, session: Session, services: frozenset[ServiceKey], *, ended: bool = False
    ) -> None:
        for marks, keys in session.hints.split(services).items():
            names = sorted(key.name for key in keys if key.kind is ServiceKind.UDP)
            for some in batched(names, _NAMES_AT_ONCE, strict=False):
                self._tell(SessionServices(session.session_id, some, ended, *marks))

    def _add_secret(self, session: Session) -> None:
        index, secret = self._secrets.add(session.session_id)
        self._tell(SessionSecret(session.session_id, index, secret))
        session.channel.request(SecretRequested(index, secret))

    def _renew_secrets(self) -> None:
        """Let no worker count from 0 under a secret that another one has sealed with."""
        for session in self._sessions.all():
            if self._secrets.forget(session.session_id):
                self._add_secret(session)

    async def _rotate(self) -> None:
        while True:
            await asyncio.sleep(ROTATE_S)
            for session in self._sessions.all():
                if session.session_id in self._secrets:
                    self._add_secret(session)

    # The worker.

    @override
    def on_started(self, worker: Worker) -> None:
        assert self.sealed is not None, "ports are bound with it only"
        self._worker = worker
        self._limits.clear()
        self._tell(self.limits)
        self._tell(self.shared.of_flows, [self.shared.duplicate()])
        self._tell(SealedSocket(), [os.dup(self.sealed.fileno())])
        for session in self._sessions.all():
            self._describe(session)
        for port, sock in self.ports.sockets.items():
            self._tell_port(port, sock)

    def _describe(self, session: Session) -> None:
        if session.session_id not in self._secrets:
            return
        self._tell(_admitted(session))
        for index, secret in self._secrets.find(session.session_id):
            self._tell(SessionSecret(session.session_id, index, secret))
        self._tell_services(session, session.services)
        if session.going_away:
            self._tell(SessionGoingAway(session.session_id))

    @override
    def on_message(self, worker: Worker, message: ChannelMessage) -> None:
        match CODEC.decode(message):
            case Ready():
                pass
            case CarrierOffered(session_id, port):
                self._carry(session_id, port, message.descriptors[0])
            case Counters() as counters:
                self._reports.count(counters)
            case Refused() as refused:
                self._reports.log(refused)
            case Crashed(traceback):
                self._reports.log_crash(traceback)
            case _:
                raise ProtocolError(Code.UNEXPECTED_MESSAGE, "the flow worker does not send this")

    @override
    def on_lost(self, reason: str) -> None:
        if self._worker is not None:
            self._worker = None
            self._renew_secrets()
        self._reports.lose(reason)

    def _tell(self, message: Message, descriptors: Sequence[int] = ()) -> None:
        if self._worker is not None:
            self._worker.send(*CODEC.encode(message), descriptors)
            return
        for descriptor in descriptors:
            os.close(descriptor)


def _admitted(session: Session) -> SessionAdmitted:
    return SessionAdmitted(
        session.session_id,
        session.tenant_id,
        session.agent_id,
        session.group,
        session.hints.weight,
    )
