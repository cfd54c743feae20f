"""Clients of a worker, from accept until they are relayed, handed over, or refused.

    accept ─▶ read name ─▶ find route ─▶ open lane ──▶ relay
       │          │            │             ├───────▶ handed over to control: a QUIC stream
       └──────────┴────────────┴─────────────┴───────▶ refused: alert, clean close

TLS modes part at *find route*: see `termination` for a handshake before the lane. A first byte of 0xF7 begins a lane of an agent,
and so does a ClientHello that offers the protocol of lanes and no other; one that offers that of sessions is for control.
"""

import socket
from socket import SocketType
from typing import TYPE_CHECKING, Final, override

from towonel.edge.core.access_log import AccessRecord
from towonel.edge.core.admission import Ticket
from towonel.edge.core.agent_connections import AGENTS, AgentConnection
from towonel.edge.core.route_table import PublicName
from towonel.edge.worker.messages import ClientMoved
from towonel.relay.hop.choice import SocketName
from towonel.relay.loop import BROKEN, ENDED, READABLE, Handler
from towonel.runtime.addresses import source_of
from towonel.wire import clienthello, lane_admission, proxy
from towonel.wire.clienthello import Incomplete
from towonel.wire.errors import Code, ProtocolError, TowonelError, Unavailable
from towonel.wire.names import Hostname, ServiceKey
from towonel.wire.proxy import Address
from towonel.wire.routes import Route

if TYPE_CHECKING:
    from towonel.edge.worker.opener import ClientUse, ClientWaiter
    from towonel.edge.worker.service import ClientService

FIRST_BYTES: Final = 16 * 1024  # a ClientHello at its largest, and all that is held for a retry
FREE_READS: Final = 16  # more than an ordinary client needs; then a tick before each further one
_LANE: Final = lane_admission.MAGIC[0]
_CHALLENGE: Final = (b"acme-tls/1",)  # RFC 8737
_NONE_TRIED: Final[frozenset[bytes]] = frozenset()


class Client(Handler):
    """Client whose first flight is read, and for which a lane is opened.

    Args:
        sock: non-blocking.
        peer: its name.
        local: the name of this end, where that is known.
        service: serves it.
        lanes_only: whether nothing but a lane is admitted where it came from.

    Attributes:
        data: bytes that were read, without a PROXY header.
        hung_up, ended_well, broken: as of `SocketEnd`.
        readable: whether more may have come since.
        wanted: the service of its route.
        routes_at: the changes of the route table when its route was looked up.
        tried: sessions that failed it.
        is_repeatable: whether what was read may reach two origins without harm.
        tries: uses of lanes that were opened for it.
        failure: why the last one failed.
        give_up_at: when its first flight is to be here.
        awaited: what is to be here by then.
        is_challenge: whether it is an authority that looks at a challenge.
        inside_tls: whether its TLS ends here, so that only lanes inside TLS carry it.
        protocol: that it speaks inside, if it said so.
    """

    route: Route
    wanted: ServiceKey
    routes_at: int
    port: int | None = None  # that it came to, if it says no name
    only_pool: bytes | None = None  # whose lanes it can use, if not all
    server_name: Hostname | None = None
    is_counted: bool = False
    awaited: str = "ClientHello"
    is_challenge: bool = False
    inside_tls: bool = False
    protocol: str | None = None
    is_moved: bool = False  # from another worker, and not once more
    record: AccessRecord | None = None  # for the access log, if it gets a line there

    def __init__(
        self,
        sock: SocketType,
        peer: SocketName,
        service: "ClientService",
        local: SocketName | None = None,
        *,
        lanes_only: bool = False,
    ) -> None:
        self.sock = sock
        self.descriptor = sock.fileno()
        self.service = service
        self.ticket: Ticket | None = None
        self.data = b""
        self.hung_up = self.ended_well = self.broken = False
        self.opening = self.is_repeatable = self.readable = False
        self.tried = _NONE_TRIED
        self.tries = 0
        self.failure: Code | None = None
        self.use: ClientUse | None = None
        self.waiter: ClientWaiter | None = None
        self._peer = service.find_peer(peer[0])
        self.source = Address(self._peer.ip, peer[1])
        self.destination = self.source
        self._local = local
        self._lanes_only = lanes_only
        self._expects_proxy = False
        self._needed, self._reads = 1, 0
        self.give_up_at = 0.0

    def begin(self, ticket: Ticket) -> None:
        """Read from now on, for a client that is admitted."""
        self.ticket = ticket
        service = self.service
        local = self._local or self.sock.getsockname()
        self.destination = Address(service.find_peer(local[0]).ip, local[1])
        self._expects_proxy = self._peer.is_trusted
        if not self._expects_proxy:
            service.admission.claim_source(ticket, self._peer.source)
        self.give_up_at = service.loop.wheel.now + service.start.handshake_s
        service.loop.wheel.arm(self, service.start.handshake_s)

    def resume(self, ticket: Ticket, moved: ClientMoved) -> None:
        """Go on where another worker has left off, which had read what it wants."""
        self.ticket = ticket
        self.is_moved = self.is_counted = True
        host, port = moved.destination
        self.destination = Address(self.service.find_peer(host).ip, port)
        self.data = moved.first
        self.service.admission.claim_source(ticket, self._peer.source)
        self._parse()

    @override
    def crash(self, error: Exception) -> None:
        self.service.report_crash(error)
        self.service.abandon(self, Code.INTERNAL)

    @property
    def public_name(self) -> PublicName:
        """What it asked for."""
        assert self.server_name is not None, "it said what it wants"
        return self.server_name

    @property
    def may_follow(self) -> bool:
        """Whether more bytes may come before the service answers any."""
        return len(self.data) >= FIRST_BYTES

    def note(self, record: AccessRecord) -> None:
        """Note for the access log who it is, and what it wants."""
        route: Route | None = getattr(self, "route", None)
        record.peer = str(self.source.ip), self.source.port
        record.hostname = self.server_name
        if route is not None:
            record.tenant_id, record.service = route.tenant_id, str(route.service)

    def count(self) -> None:
        """Count a connection that is none of a lane, once."""
        if not self.is_counted:
            self.is_counted = True
            self.service.counters.accepted += 1

    # Its first flight.

    @override
    def on_ready(self, events: int) -> None:
        if events & ENDED:
            self.hung_up = True
            self.broken = self.broken or bool(events & BROKEN)
            self.ended_well = self.ended_well or not self.broken
        if not self.opening:
            if events & READABLE and self._reads <= FREE_READS:
                self._read()
                if self.hung_up and self._is_waiting():
                    self._read()  # no other event tells of an end that came with the last bytes
            return
        self.readable = True
        if self.broken:
            self.service.abandon(self, Code.CLIENT_CLOSED)

    @override
    def expire(self) -> None:
        if self.opening:
            self.service.give_up(self)
        elif self.service.loop.wheel.now >= self.give_up_at:
            self._refuse(Unavailable(Code.CLIENT_TIMEOUT, f"no {self.awaited} in time"))
        else:
            self._read()
            if self._reads > FREE_READS:
                self._pace()

    def _is_waiting(self) -> bool:
        """Whether more bytes of the first flight are to come."""
        return self.ticket is not None and len(self.data) < self._needed

    def _read(self) -> None:
        room = FIRST_BYTES - len(self.data)
        try:
            data = self.sock.recv(room)
        except BlockingIOError:
            return
        except OSError as error:
            self._refuse(Unavailable(Code.CLIENT_CLOSED, str(error)))
            return
        if not data:
            self._refuse(Unavailable(Code.CLIENT_CLOSED, f"after {len(self.data)} bytes"))
            return
        self.data += data
        # No event may tell of what came while more than a byte was waited for, or of an end that one has told.
        self.readable = self.hung_up or len(data) == room or self._needed > 1
        if len(self.data) < self._needed:
            return
        self._reads += 1
        try:
            self._parse()
        except TowonelError as error:
            self._refuse(error)
        else:
            if self._reads > FREE_READS:
                self._pace()

    def _parse(self) -> None:
        """Act on what has come, if it is whole."""
        if not self._expects_proxy or self._take_proxy_header():
            self._act()

    def _act(self) -> None:
        """Act on what it has said itself."""
        if not self.data:
            self._wait_for(1)
            return
        if self.data[0] == _LANE:
            if len(self.data) > lane_admission.HELLO_BYTES:
                raise ProtocolError(Code.MALFORMED, "a lane's agent waits for an answer")
            self._set_low_water(1)
            self.service.admit(self, AgentConnection.LANE)
            return
        self._parse_hello()

    def _parse_hello(self) -> None:
        hello = clienthello.read(self.data)
        if isinstance(hello, Incomplete):
            self._wait_for(hello.needed)
            return
        if (agents := AGENTS.get(hello.protocols)) is not None:
            if agents is AgentConnection.SESSION and not self.service.handed_over.is_prompt:
                raise Unavailable(Code.OVERLOADED, "sessions that wait for control")
            self._set_low_water(1)
            self.service.admit(self, agents)
            return
        self.count()
        if self._lanes_only:
            raise ProtocolError(Code.NO_ROUTE, "this port takes lanes of agents only")
        self.server_name = hello.server_name
        if hello.protocols == _CHALLENGE:
            self.is_challenge = True
        self.is_repeatable = clienthello.may_happen_twice(hello, self.data)
        self._open()

    def _open(self) -> None:
        self.opening = True
        if self._reads > 1:
            self._set_low_water(1)
        self.service.serve(self, self.public_name)

    def _take_proxy_header(self) -> bool:
        """Take the header of a trusted proxy; one that speaks for itself names no client, and is it."""
        found = proxy.read(self.data)
        if found is None:
            self._wait_for(proxy.count_needed(self.data))
            return False
        header, length = found
        if header is not None:
            self.source, self.destination = header.source, header.destination
        self._expects_proxy = False
        self.data = self.data[length:]
        assert self.ticket is not None, "it is admitted"
        self.service.admission.claim_source(self.ticket, source_of(self.source.ip))
        return True

    def _wait_for(self, needed: int) -> None:
        """Let the kernel wake us up only when there is enough to go on."""
        self._needed = needed
        self._set_low_water(max(needed - len(self.data), 1))

    def _set_low_water(self, count: int) -> None:
        try:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, count)
        except OSError as error:
            raise Unavailable(Code.CLIENT_CLOSED, str(error)) from error

    def _pace(self) -> None:
        """Bound the work that a client can cause before its deadline: read at ticks only."""
        if not self.opening and self.ticket is not None:
            self.service.loop.wheel.arm(self, 0)

    def _refuse(self, error: TowonelError) -> None:
        self.service.refuse(self, error)
