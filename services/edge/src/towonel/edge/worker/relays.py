"""Relays of clients over lanes, and what ends them from outside.

That is a route that went or now belongs to somebody else, and a tenant that is revoked.
"""

from collections import deque
from collections.abc import Callable, Collection, Iterable
from socket import SocketType
from typing import Final, override

from towonel.edge.core.access_log import AccessRecord
from towonel.edge.core.admission import Admission, Ticket
from towonel.edge.core.route_table import PublicName, RouteTable, route_keys
from towonel.edge.core.traffic import OwnedService
from towonel.edge.limits.tenant_limits import WorkerLimits
from towonel.edge.worker.access_log import AccessLog
from towonel.edge.worker.counters import WorkerCounters, count
from towonel.relay.connection import Connection, Owner
from towonel.relay.core.deadlines import TICK_S
from towonel.relay.frame_writer import FrameWriter
from towonel.relay.loop import Handler, Loop
from towonel.wire.errors import Code
from towonel.wire.ids import TenantId

_CHECKED_AT_ONCE: Final = 64  # clients whose route is looked up in a turn


class ClientConnection(Connection):
    """Connection of a client, and what it counts for.

    Args:
        sock, loop, lane, owner, idle_s: as of `Connection`.
        ticket: what it counts for.
        name: that it asked for.
        service: that the name led to then, and whose it is.
        record: for the access log, if the client gets a line there.
        first_bytes: of it that the lane has taken already.
        readable: whether more may have come.
    """

    def __init__(
        self,
        sock: SocketType,
        loop: Loop,
        lane: FrameWriter,
        owner: "Relays",
        *,
        idle_s: float,
        ticket: Ticket,
        name: PublicName,
        service: OwnedService,
        record: AccessRecord | None,
        first_bytes: int,
        readable: bool,
    ) -> None:
        super().__init__(sock, loop, lane, owner, idle_s=idle_s, readable=readable)
        self.received = first_bytes
        self.ticket = ticket
        self.name = name
        self.service = service
        self.tenant_id = service[0]
        self.record = record
        self.counted_in = self.counted_out = 0  # bytes that the counters have
        self.slice = 0  # of the relays that are looked at in one tick

    @override
    def crash(self, error: Exception) -> None:
        self._owner.report_crash(error)
        self.fail(Code.INTERNAL)


class _Named:
    """Clients of one server name, and the keys of the routes that decide about it."""

    def __init__(self, name: PublicName) -> None:
        keys = route_keys(name)
        self.exact, self.wildcard = keys[0], keys[-1]
        self.clients: set[ClientConnection] = set()


class Relays(Handler, Owner):
    """Registry of relayed clients.

    Args:
        loop: of the worker.
        table: the routes.
        limits: of tenants.
        admission: where clients are counted.
        counters: the worker's.
        access_log: gets the lines of clients; None if there is none.
        check_s: in which the bytes of every client are counted once.
        report_crash: is told of an exception that is a bug.
    """

    def __init__(
        self,
        loop: Loop,
        table: RouteTable,
        limits: WorkerLimits,
        admission: Admission,
        counters: WorkerCounters,
        access_log: AccessLog | None,
        *,
        check_s: float,
        report_crash: Callable[[Exception], None],
    ) -> None:
        self.report_crash = report_crash
        self._loop = loop
        self._table = table
        self._limits = limits
        self._admission = admission
        self._counters = counters
        self._access_log = access_log
        self._slices: list[set[ClientConnection]] = [
            set() for _ in range(max(1, round(check_s / TICK_S)))
        ]
        self._next = 0
        self._by_name: dict[PublicName, _Named] = {}
        self._by_route: dict[str, dict[_Named, None]] = {}
        self._to_check: deque[ClientConnection] = deque()

    def add(self, client: ClientConnection) -> None:
        """Register a client whose relay begins."""
        self._next = (self._next + 1) % len(self._slices)
        client.slice = self._next
        self._slices[client.slice].add(client)
        named = self._by_name.get(client.name)
        if named is None:
            named = self._by_name[client.name] = _Named(client.name)
            for key in {named.exact, named.wildcard}:
                self._by_route.setdefault(key, {})[named] = None
        named.clients.add(client)
        client.pacer = self._limits.find_pacer(client.tenant_id)
        self._counters.service(client.service).began += 1

    def cut(self, tenants: Collection[TenantId]) -> None:
        """End the clients of tenants that may not be served any more, at once."""
        if tenants:
            for client in [each for some in self._slices for each in some]:
                if client.tenant_id in tenants:
                    client.fail(Code.TENANT_REVOKED)

    def limit(self, tenants: Collection[TenantId]) -> None:
        """Use the limits of tenants that have changed, for the clients that they have, too."""
        self._limits.change(tenants)
        if tenants:
            for client in [each for some in self._slices for each in some]:
                if client.tenant_id in tenants:
                    client.pacer = self._limits.find_pacer(client.tenant_id)

    def close(self) -> None:
        """Cut all clients."""
        for client in [each for some in self._slices for each in some]:
            client.finish(Code.CANCELLED)

    def recheck(self, routes: Iterable[str]) -> None:
        """End clients whose route went, or has another owner, soon; `routes` are what changed."""
        for key in self._by_route.keys() & routes:
            for named in self._by_route[key]:
                self._to_check.extend(named.clients)
        if self._to_check:
            self._loop.queue(self)

    def recheck_all(self) -> None:
        """The same, where any route may have changed."""
        for named in self._by_name.values():
            self._to_check.extend(named.clients)
        if self._to_check:
            self._loop.queue(self)

    @override
    def take_turn(self) -> bool:
        for _ in range(min(_CHECKED_AT_ONCE, len(self._to_check))):
            client = self._to_check.popleft()
            if not self.is_routed(client.name, client.tenant_id):
                client.fail(Code.NO_ROUTE)
        return bool(self._to_check)

    def is_routed(self, name: PublicName, tenant_id: TenantId) -> bool:
        """Whether a name belongs to a tenant now."""
        route = self._table.lookup(name)
        return route is not None and route.tenant_id == tenant_id

    def look(self, tick: int) -> None:
        """Count the bytes of the clients whose turn it is in a tick."""
        for client in self._slices[tick % len(self._slices)]:
            self._count_bytes(client)

    @override
    def on_connection_ended(self, connection: Connection) -> None:
        assert isinstance(connection, ClientConnection), "nothing else is owned by this"
        self._slices[connection.slice].discard(connection)
        self._take_out(connection)
        self._count_bytes(connection)
        self._admission.release(connection.ticket)
        counters = self._counters
        counters.service(connection.service).ended += 1
        counters.active -= 1
        count(counters.ended, connection.code)
        if connection.record is not None and self._access_log is not None:
            self._access_log.end(
                connection.record, connection.code, connection.received, connection.sent
            )

    def _take_out(self, client: ClientConnection) -> None:
        named = self._by_name[client.name]
        named.clients.discard(client)
        if named.clients:
            return
        del self._by_name[client.name]
        for key in {named.exact, named.wildcard}:
            of_route = self._by_route[key]
            del of_route[named]
            if not of_route:
                del self._by_route[key]

    def _count_bytes(self, client: ClientConnection) -> None:
        """Count the bytes that passed since the last look."""
        bytes_in = client.received - client.counted_in
        bytes_out = client.sent - client.counted_out
        if bytes_in or bytes_out:
            client.counted_in, client.counted_out = client.received, client.sent
            counters = self._counters
            counters.bytes_in += bytes_in
            counters.bytes_out += bytes_out
            service = counters.service(client.service)
            service.bytes_in += bytes_in
            service.bytes_out += bytes_out
