"""Service of a worker's clients: which session serves each, over what, and how it ends."""

import time
from collections.abc import Callable
from functools import lru_cache, partial
from socket import SocketType
from typing import Final, assert_never

from towonel.edge.core.access_log import AccessRecord, Way
from towonel.edge.core.admission import Admission, AdmissionLimits
from towonel.edge.core.agent_connections import AgentConnection
from towonel.edge.core.balance import Balancer
from towonel.edge.core.route_table import PublicName, RouteTable
from towonel.edge.core.shared_clients import SharedClients
from towonel.edge.core.shared_use import SharedLimits
from towonel.edge.core.trusted_proxies import describe_peer
from towonel.edge.limits.tenant_limits import WorkerLimits
from towonel.edge.worker.access_log import note_accepted, open_access_log
from towonel.edge.worker.clients import Client
from towonel.edge.worker.counters import WorkerCounters, count
from towonel.edge.worker.handed_over import HandedOver
from towonel.edge.worker.messages import CarrierOffered, ClientMoved, Crashed, Start
from towonel.edge.worker.opener import Opener
from towonel.edge.worker.port_clients import CarrierClient, make_client
from towonel.edge.worker.refusals import Refuser, describe_refusal
from towonel.edge.worker.relays import ClientConnection, Relays
from towonel.edge.worker.routing import find_route
from towonel.edge.worker.self_route.clients import HubClients
from towonel.edge.worker.sessions import LaneReports, Sender, WorkerSession, WorkerSessions
from towonel.edge.worker.termination.terminator import Terminator
from towonel.relay.channel import describe_crash
from towonel.relay.core.lane_counts import LaneCounts
from towonel.relay.edge_lanes import EdgeLane, EdgeLanes
from towonel.relay.hop.choice import SocketName
from towonel.relay.loop import Loop
from towonel.relay.memory import Memory
from towonel.relay.tls.lane_tls import EdgeTls
from towonel.runtime.addresses import parse_networks
from towonel.wire.errors import Code, TowonelError, Unavailable
from towonel.wire.routes import TlsMode

_PEERS: Final = 4096  # addresses that are remembered


class ClientService:
    """Service of the clients of one worker.

    Args:
        start: who the edge is, limits and timers.
        loop: of the worker.
        memory: of the worker.
        send: to control.
        limits: of tenants, as other processes know them.
        counts: of lanes in all workers.
        shared: counts of clients in other workers, if there are any.
        count_waiting: returns how many messages wait for control to read.

    Attributes:
        arriving: clients that are neither relayed, handed over nor refused yet.
        handed_over: clients that control serves.
        opener: opens lanes for clients.
        terminator: ends the TLS of clients.
        hub: clients of the hub's own name.
        is_orphan: whether control is gone.
    """

    def __init__(
        self,
        start: Start,
        loop: Loop,
        memory: Memory,
        send: Sender,
        limits: SharedLimits,
        counts: LaneCounts | None = None,
        shared: SharedClients | None = None,
        count_waiting: Callable[[], int] = lambda: 0,
    ) -> None:
        self.start = start
        self.loop = loop
        self.send = send
        self.find_peer = lru_cache(_PEERS)(partial(describe_peer, parse_networks(start.proxies)))
        self.table = RouteTable()
        self.counters = WorkerCounters()
        self.admission = Admission(_limits_of(start), shared)
        self.limits = WorkerLimits(self.table.limits, self.admission, loop, limits)
        self.lanes = EdgeLanes(
            *(loop, memory, LaneReports(self.admission, self.counters, send)),
            edge_id=start.edge_id,
            certificate_hash=start.certificate_hash,
            tls=EdgeTls(start.certificate_pem, start.key_pem),
            counts=counts,
            workers=start.workers,
        )
        self.access_log = open_access_log(start)
        self.balancer = Balancer()
        self.sessions = WorkerSessions(
            self.lanes, self.balancer, start.streams_per_session, start.sessions
        )
        self.relays = self._make_relays()
        self.refuser = Refuser(loop, start.linger_s)
        self.arriving: set[Client] = set()
        self.handed_over = HandedOver(
            loop, self.admission, self.counters, send, start.streams, shared, count_waiting
        )
        self.is_orphan = False
        self.opener, self.terminator, self.hub = Opener(self), Terminator(self), HubClients(self)

    def _make_relays(self) -> Relays:
        return Relays(
            self.loop,
            *(self.table, self.limits, self.admission, self.counters, self.access_log),
            check_s=self.start.check_s,
            report_crash=self.report_crash,
        )

    @property
    def clients(self) -> int:
        """Clients in all, refused ones that may still read their alert included."""
        return self.counters.active + len(self.refuser.lingering)

    def accept(
        self,
        sock: SocketType,
        peer: SocketName,
        local: SocketName | None = None,
        *,
        lanes_only: bool = False,
        port: int | None = None,
    ) -> None:
        """Serve a client, or admit a lane, on an accepted socket, whose own name may be known.

        From the `port` of a TCP service come its clients; `lanes_only` says that no client is served there.
        """
        client = make_client(sock, peer, self, local, lanes_only=lanes_only, port=port)
        if self.access_log is not None:
            client.record = self.access_log.begin()
        self._begin(client)

    def carry(self, sock: SocketType, offered: CarrierOffered) -> None:
        """Have a lane of a session for a connection of the flow worker."""
        peer: SocketName = sock.getsockname()
        self._begin(CarrierClient(sock, peer, self, offered.port, offered.session_id))

    def _begin(self, client: Client) -> None:
        self.loop.add(client.descriptor, client)
        self.arriving.add(client)
        self.counters.active += 1
        try:
            client.begin(self.admission.admit())
        except TowonelError as error:
            self.refuse(client, error)
        except OSError as error:
            self.refuse(client, Unavailable(Code.CLIENT_CLOSED, str(error)))

    def take(self, sock: SocketType, moved: ClientMoved) -> None:
        """Serve a client that another worker has moved here."""
        client = make_client(sock, moved.source, self, port=moved.port)
        self.loop.add(client.descriptor, client)
        self.arriving.add(client)
        self.counters.active += 1
        if moved.trace is not None:
            client.record = AccessRecord(*moved.trace)
        try:
            client.resume(self.admission.admit(), moved)
        except TowonelError as error:
            self.refuse(client, error)

    # What its first bytes say.

    def admit(self, client: Client, agents: AgentConnection) -> None:
        """Let a connection of an agent go on as what it is: a lane counts as a client until admitted."""
        self.take_out(client)
        self.loop.release(client.descriptor)
        match agents:
            case AgentConnection.LANE:
                self.lanes.admit(client.sock, client.data, client.ticket)
            case AgentConnection.TLS_LANE:
                self.lanes.admit_tls(client.sock, client.data, client.ticket)
            case AgentConnection.SESSION:
                self.handed_over.offer_session(client)
            case _:
                assert_never(agents)

    def serve(self, client: Client, name: PublicName) -> None:
        """Open a lane for a client of which it is known what it wants, or end its TLS first.

        Raises:
            TowonelError: it gets no service.
        """
        if client.record is not None:
            client.record.hello_at = time.monotonic()
        if client.is_challenge and self.terminator.answer(client):
            return
        if self.hub.is_wanted(client):
            self.hub.serve(client)
            return
        client.route = route = find_route(self.table, name, client.source.ip)
        client.routes_at, client.wanted = self.table.changes, route.service
        assert client.ticket is not None, "it is admitted"
        places = self.sessions.places(route.tenant_id, client.wanted)
        self.limits.claim(client.ticket, route.tenant_id, places, is_new=not client.is_moved)
        if route.tls_mode is TlsMode.TERMINATE:
            self.terminator.begin(client)
        else:
            self.open(client)

    def open(self, client: Client) -> None:
        """Open a lane for a client, within the time that there is for it."""
        self.loop.wheel.arm(client, self.start.open_s)
        self.opener.open(client)

    def close(self) -> None:
        """Cut the clients that are left."""
        for client in self.arriving:
            self.opener.cancel(client, Code.CANCELLED)  # or it would go on once there are no lanes
            client.sock.close()
        for refused in tuple(self.refuser.lingering):
            refused.close()
        self.relays.close()
        self.hub.close()
        self.lanes.close_idle()

    # How a use of a lane goes on.

    def relay(self, client: Client, session: WorkerSession, lane: EdgeLane) -> None:
        """Relay a client whose origin is connected."""
        client.use = None
        route, name = client.route, client.public_name
        self.balancer.record_success(client.wanted, session.session_id)
        if client.routes_at != self.table.changes and not self.relays.is_routed(
            name, route.tenant_id
        ):
            lane.end_use(Code.NO_ROUTE)
            self.refuse(client, Unavailable(Code.NO_ROUTE, f"{name}: its route went"))
            return
        self.take_out(client)
        assert client.ticket is not None, "it is admitted"
        if client.record is not None:
            note_accepted(client.record, session.agent_id, Way(lane.kind))
            client.note(client.record)
        connection = ClientConnection(
            client.sock,
            self.loop,
            lane,
            self.relays,
            idle_s=self.start.idle_s,
            ticket=client.ticket,
            name=name,
            service=(route.tenant_id, str(route.service)),
            record=client.record,
            first_bytes=len(client.data),
            readable=client.readable,
        )
        self.counters.served[str(lane.kind)] += 1
        if client.hung_up:
            connection.hung_up, connection.ended_well = True, client.ended_well
        self.relays.add(connection)
        self.loop.replace(client.descriptor, connection)
        lane.attach(connection)

    def abandon(self, client: Client, code: Code) -> None:
        """Give up a client that has reset its connection, or met a bug."""
        if client in self.arriving:
            self.opener.cancel(client, code)
            self.refuse(client, Unavailable(code, "before it was relayed"))

    def report_crash(self, error: Exception) -> None:
        """Let control log an exception that is a bug of ours, and go on."""
        self.send(Crashed(describe_crash(error)))

    def give_up(self, client: Client) -> None:
        """Refuse a client for which nobody has opened a connection in time."""
        self.opener.cancel(client, Code.ORIGIN_TIMEOUT)
        self.refuse(client, Unavailable(Code.ORIGIN_TIMEOUT, "no agent answered in time"))

    def refuse(self, client: Client, error: TowonelError) -> None:
        """Tell a client that it gets no service, if it has time to read that, and close."""
        self.take_out(client)
        client.count()
        self.counters.active -= 1
        count(self.counters.refused, error.code)
        if client.ticket is not None:
            self.admission.release(client.ticket)
        client.ticket = None
        if client.record is not None and self.access_log is not None:
            client.note(client.record)
            self.access_log.end(client.record, error.code, len(client.data), 0)
        refuse = self.refuser.refuse if client.port is None else self.refuser.reset
        refuse(client.sock, describe_refusal(client, error))

    def take_out(self, client: Client) -> None:
        """Let a client arrive no longer: it is relayed, handed over or refused."""
        self.loop.wheel.disarm(client)
        self.arriving.discard(client)


def _limits_of(start: Start) -> AdmissionLimits:
    return AdmissionLimits(start.clients, start.per_source, start.per_tenant, start.source_share)
