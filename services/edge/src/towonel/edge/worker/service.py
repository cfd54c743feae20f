"""Service of a worker's clients: which session serves each, over what, and how it ends."""

import random
import socket
import traceback
from functools import lru_cache, partial
from typing import Final, assert_never

from towonel.edge.core.admission import Admission, AdmissionLimits
from towonel.edge.core.balance import MAX_TRIES, SESSION_CODES, Balancer
from towonel.edge.core.route_table import RouteTable
from towonel.edge.core.trusted_proxies import describe_peer
from towonel.edge.worker.acceptor import SocketName
from towonel.edge.worker.clients import AgentConnection, Client, ClientUse, ClientWaiter
from towonel.edge.worker.counters import WorkerCounters, count
from towonel.edge.worker.handed_over import HandedOver
from towonel.edge.worker.messages import Crashed, Start
from towonel.edge.worker.refusals import Refuser
from towonel.edge.worker.relays import ClientConnection, Relays
from towonel.edge.worker.reports import LaneReports, Sender
from towonel.edge.worker.routing import find_route
from towonel.edge.worker.sessions import WorkerSession, WorkerSessions
from towonel.relay.edge_lanes import EdgeLane, EdgeLanes, LaneSession
from towonel.relay.loop import Loop
from towonel.relay.memory import Memory
from towonel.relay.tls.lane_tls import EdgeTls
from towonel.runtime.addresses import parse_networks
from towonel.wire import lane_open
from towonel.wire.errors import Code, TowonelError, Unavailable
from towonel.wire.lane_open import LaneOpen
from towonel.wire.lanes import MAX_FIRST_BYTES
from towonel.wire.names import Hostname
from towonel.wire.preamble import Preamble

_PEERS: Final = 4096  # addresses that are remembered
MAX_TRACEBACK_CHARS: Final = 8 * 1024


class ClientService:
    """Service of the clients of one worker.

    Args:
        start: who the edge is, limits and timers.
        loop: of the worker.
        memory: of the worker.
        send: to control.

    Attributes:
        arriving: clients that are neither relayed, handed over nor refused yet.
        handed_over: clients that control serves.
    """

    def __init__(self, start: Start, loop: Loop, memory: Memory, send: Sender) -> None:
        self.start = start
        self.loop = loop
        self.send = send
        self.find_peer = lru_cache(_PEERS)(partial(describe_peer, parse_networks(start.proxies)))
        self.table = RouteTable()
        self.counters = WorkerCounters()
        self.admission = Admission(
            AdmissionLimits(start.clients, start.per_source, start.per_tenant, start.source_share)
        )
        self.lanes = EdgeLanes(
            loop,
            memory,
            LaneReports(self.admission, self.counters, send),
            edge_id=start.edge_id,
            certificate_hash=start.certificate_hash,
            tls=EdgeTls(start.certificate_pem, start.key_pem),
            workers=start.workers,
        )
        self.balancer = Balancer()
        self.sessions = WorkerSessions(self.lanes, self.balancer, start.streams_per_session)
        self.relays = Relays(
            loop,
            self.table,
            self.admission,
            self.counters,
            check_s=start.check_s,
            report_crash=self.report_crash,
        )
        self.refuser = Refuser(loop, start.linger_s)
        self.arriving: set[Client] = set()
        self.handed_over = HandedOver(loop, self.admission, self.counters, send, start.streams)

    @property
    def clients(self) -> int:
        """Clients in all, refused ones that may still read their alert included."""
        return self.counters.active + len(self.refuser.lingering)

    def accept_lane(
        self, sock: socket.socket, peer: SocketName, local: SocketName | None = None
    ) -> None:
        """Admit a lane on an accepted socket, where no client is served."""
        self.accept(sock, peer, local, lanes_only=True)

    def accept(
        self,
        sock: socket.socket,
        peer: SocketName,
        local: SocketName | None = None,
        *,
        lanes_only: bool = False,
    ) -> None:
        """Serve a client, or admit a lane, on an accepted socket, whose own name may be known."""
        client = Client(sock, peer, self, local, lanes_only=lanes_only)
        self.loop.add(client.descriptor, client)
        self.arriving.add(client)
        self.counters.active += 1
        try:
            client.begin(self.admission.admit())
        except TowonelError as error:
            self.refuse(client, error)
        except OSError as error:
            self.refuse(client, Unavailable(Code.CLIENT_CLOSED, str(error)))

    # What its first bytes say.

    def admit(self, client: Client, agents: AgentConnection) -> None:
        """Let a connection of an agent go on as what it is: a lane counts as a client until admitted."""
        self._take_out(client)
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

    def serve(self, client: Client, name: Hostname) -> None:
        """Open a lane for a client that named what it wants.

        Raises:
            TowonelError: it gets no service.
        """
        client.route = route = find_route(self.table, name)
        client.routes_at, client.wanted = self.table.changes, route.service
        assert client.ticket is not None, "it is admitted"
        self.admission.claim_tenant(
            client.ticket, route.tenant_id, self.sessions.places(route.tenant_id, client.wanted)
        )
        self.loop.wheel.arm(client, self.start.open_s)
        self.open(client)

    # Lanes and streams.

    def open(self, client: Client) -> None:
        """Open a lane of the best session that has one, wait for one, or let control open a stream."""
        route, wanted = client.route, client.wanted
        candidates = self.sessions.find(route.tenant_id, wanted)
        if client.tried:
            candidates = [each for each in candidates if each.session_id not in client.tried]
        ordered = self.balancer.order(
            wanted, candidates, now=self.loop.wheel.now, draw=random.randrange
        )
        if not ordered:
            code = client.failure or Code.NO_AGENT
            self.refuse(client, Unavailable(code, str(wanted)))
            return
        for session in ordered:
            if not session.has_lanes:
                self._hand_over(client, has_lanes=False)
                return
            if self._open_lane(client, session):
                return
        self._wait(client, [each.lanes for each in ordered if each.lanes is not None])

    def open_on(self, client: Client, session_id: bytes) -> None:
        """Open a lane of a session that has an idle one now, or do as for any client."""
        session = self.sessions.get(session_id)
        if session is None or not self._open_lane(client, session):
            self.open(client)

    def _open_lane(self, client: Client, session: WorkerSession) -> bool:
        lanes = session.lanes
        if lanes is None or not lanes.idle:
            return False
        use = ClientUse(client, session)
        content = lane_open.encode(
            LaneOpen(
                Preamble(client.source, client.destination, client.wanted, client.server_name),
                client.data,
                more=len(client.data) >= MAX_FIRST_BYTES,
            )
        )
        if not lanes.open(content, use, repeatable=client.is_repeatable):
            return False
        client.use = use
        client.tries += 1
        return True

    def _wait(self, client: Client, lanes: list[LaneSession]) -> None:
        waiter = ClientWaiter(client)
        if self.lanes.wait(lanes, waiter):
            client.waiter = waiter
        else:
            self.overflow(client)

    def overflow(self, client: Client) -> None:
        """Let control open a stream for a client that got no lane, as long as these are few."""
        if self.handed_over.has_room:
            self._hand_over(client, has_lanes=True)
        else:
            self.refuse(client, Unavailable(Code.OVERLOADED, "clients without a lane"))

    def _hand_over(self, client: Client, *, has_lanes: bool) -> None:
        self._take_out(client)
        self.handed_over.give(client, has_lanes=has_lanes)

    def close(self) -> None:
        """Cut the clients that are left."""
        for client in self.arriving:
            client.sock.close()
        for refused in tuple(self.refuser.lingering):
            refused.close()
        self.relays.close()
        self.lanes.close_idle()

    # How a use of a lane goes on.

    def relay(self, client: Client, session: WorkerSession, lane: EdgeLane) -> None:
        """Relay a client whose origin is connected."""
        client.use = None
        route, name = client.route, client.server_name
        assert name is not None, "it said what it wants"
        self.balancer.record_success(client.wanted, session.session_id)
        if client.routes_at != self.table.changes and not self.relays.is_routed(
            name, route.tenant_id
        ):
            lane.end_use(Code.NO_ROUTE)
            self.refuse(client, Unavailable(Code.NO_ROUTE, f"{name}: its route went"))
            return
        self._take_out(client)
        assert client.ticket is not None, "it is admitted"
        connection = ClientConnection(
            client.sock,
            self.loop,
            lane,
            self.relays,
            idle_s=self.start.idle_s,
            ticket=client.ticket,
            server_name=name,
            tenant_id=route.tenant_id,
            first_bytes=len(client.data),
            readable=client.readable,
        )
        self.counters.served[lane.kind] += 1
        connection.hung_up, connection.ended_well = client.hung_up, client.ended_well
        self.relays.add(connection)
        self.loop.replace(client.descriptor, connection)
        lane.attach(connection)

    def retry(self, client: Client, session: WorkerSession, code: Code, *, may_retry: bool) -> None:
        """Try another lane for a client whose use failed, where its bytes cannot happen twice."""
        client.use = None
        client.failure = code
        if code not in SESSION_CODES:
            self.balancer.record_failure(client.wanted, session.session_id, self.loop.wheel.now)
        if code is not Code.SESSION_LOST:  # it may have other lanes
            client.tried |= {session.session_id}
        if not may_retry or client.tries >= MAX_TRIES:
            self.refuse(client, Unavailable(code, str(client.wanted)))
            return
        count(self.counters.retries, code)
        self.open(client)

    def abandon(self, client: Client, code: Code) -> None:
        """Give up a client that has reset its connection, or met a bug."""
        if client in self.arriving:
            self._cancel(client, code)
            self.refuse(client, Unavailable(code, "before it was relayed"))

    def report_crash(self, error: Exception) -> None:
        """Let control log an exception that is a bug of ours, and go on."""
        text = "".join(traceback.format_exception(error))
        self.send(Crashed(text[-MAX_TRACEBACK_CHARS:]))

    def give_up(self, client: Client) -> None:
        """Refuse a client for which nobody has opened a connection in time."""
        self._cancel(client, Code.ORIGIN_TIMEOUT)
        self.refuse(client, Unavailable(Code.ORIGIN_TIMEOUT, "no agent answered in time"))

    def refuse(self, client: Client, error: TowonelError) -> None:
        """Tell a client that it gets no service, if it has time to read that, and close."""
        self._take_out(client)
        client.count()
        self.counters.active -= 1
        count(self.counters.refused, error.code)
        if client.ticket is not None:
            self.admission.release(client.ticket)
        client.ticket = None
        self.refuser.refuse(client.sock, client.describe(error))

    def _cancel(self, client: Client, code: Code) -> None:
        use, client.use = client.use, None
        waiter, client.waiter = client.waiter, None
        if waiter is not None:
            self.lanes.stop_waiting(waiter)
        if use is not None and use.session.lanes is not None:
            use.session.lanes.cancel(use, code)

    def _take_out(self, client: Client) -> None:
        self.loop.wheel.disarm(client)
        self.arriving.discard(client)
