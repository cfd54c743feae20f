"""Listeners of TCP or UDP services: each port is bound while it has a route, and tried again while it cannot be."""

import asyncio
import contextlib
import errno
import os
import resource
import socket
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import Final

import structlog

from towonel.edge.core.route_table import PublicName, RouteTable, find_port, name_port
from towonel.edge.data_plane.sockets import take_waiting
from towonel.edge.metrics import Metrics
from towonel.runtime.log_limit import LogLimit
from towonel.wire.errors import Code
from towonel.wire.ids import TenantId
from towonel.wire.names import ServiceKind
from towonel.wire.policy.port_ranges import format_ports, group_ports
from towonel.wire.routes import RouteDelta

_CODES: Final = {
    errno.EADDRINUSE: Code.PORT_IN_USE,
    errno.EACCES: Code.PORT_UNAVAILABLE,
    errno.EPERM: Code.PORT_UNAVAILABLE,
}
type Owner = tuple[TenantId, str]  # of a port: a tenant, and the name of its service
RETRY_S: Final = 3.0  # until a port is tried again that could not be had
_PRIVILEGE: Final = "it takes a privilege (CAP_NET_BIND_SERVICE)"
log: structlog.stdlib.BoundLogger = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class ListenerFailure:
    """Failure to listen on a port."""

    code: Code
    detail: str


class PortListeners:
    """Listeners of the ports that routes of one kind name.

    Args:
        kind: TCP or UDP.
        table: the routes.
        bind: returns a socket that listens on a port, and nobody else's, or raises `OSError`.
        on_opened: has workers accept from a port's socket.
        on_closed: has them accept no more.
        metrics: count the ports.

    Attributes:
        sockets: that listen, by port.
        failures: of ports that cannot be listened on now.
        inherited: sockets of the process that this one replaces, by port.
    """

    def __init__(
        self,
        kind: ServiceKind,
        table: RouteTable,
        bind: Callable[[int], socket.socket],
        on_opened: Callable[[int, socket.socket], None],
        on_closed: Callable[[int], None],
        metrics: Metrics,
    ) -> None:
        self._kind = kind
        self._table = table
        self._bind_port = bind
        self._on_opened = on_opened
        self._on_closed = on_closed
        self._metrics = metrics
        self._most = _count_affordable()
        self._owners: dict[int, Owner] = {}  # of all routes there are, of blocked tenants, too
        self.sockets: dict[int, socket.socket] = {}
        self.failures: dict[int, ListenerFailure] = {}
        self.inherited: dict[int, socket.socket] = {}
        self._is_listening = False
        self._lines = LogLimit()  # a tenant may publish ports that cannot be had again and again

    def change(self, delta: RouteDelta) -> None:
        """Act on a change that the table has taken."""
        ports = {port for key in delta.removed if (port := find_port(key, self._kind)) is not None}
        for port in ports:
            self._owners.pop(port, None)
        for route in delta.routes:
            if route.kind is self._kind and route.port is not None:
                self._owners[route.port] = route.tenant_id, route.name
                ports.add(route.port)
        blocked = {*delta.blocked, *delta.unblocked}
        if blocked:
            ports.update(port for port, (tenant, _) in self._owners.items() if tenant in blocked)
        if self._is_listening and ports:
            self._update(ports)

    def listen(self) -> None:
        """Listen from now on, on whatever ports there are routes of."""
        self._is_listening = True
        self._update(self._owners)
        for sock in self.inherited.values():
            sock.close()
        self.inherited.clear()

    async def retry(self, pause_s: float) -> None:
        """Try ports that cannot be listened on again and again, for ever."""
        while True:
            await asyncio.sleep(pause_s)
            if self.failures:
                self._update(list(self.failures))

    def describe(self) -> Iterator[tuple[PublicName, ListenerFailure | None]]:
        """Yield the name of each port with a route, and why it is not listened on, if so.

        Ports of one service's range that are next to each other and alike have one name: `tcp:27015-27030`.
        """
        ports = sorted({*self.sockets, *self.failures})
        alike = ((port, (self._owners.get(port), self.failures.get(port))) for port in ports)
        for first, last, (_, failure) in group_ports(alike):
            yield f"{self._kind}:{format_ports(first, last)}", failure

    def stop(self) -> list[tuple[int, list[socket.socket]]]:
        """Listen no more, and return the connections that closing would have reset, by port."""
        self._is_listening = False
        waiting = [(port, take_waiting(sock)) for port, sock in self.sockets.items()]
        self.close()
        return waiting

    def close(self) -> None:
        """Close all sockets."""
        for sock in (*self.sockets.values(), *self.inherited.values()):
            sock.close()
        for left in (self.sockets, self.inherited, self.failures):
            left.clear()
        self._lines.flush()
        self._count()

    def _update(self, ports: Collection[int]) -> None:
        """Have those ports listened on that have a route, and no others of them."""
        opened = closed = 0
        for port in ports:
            is_wanted = self._table.lookup(name_port(port, self._kind)) is not None
            if is_wanted and port not in self.sockets:
                opened += self._open(port)
            elif not is_wanted:
                self.failures.pop(port, None)
                closed += self._close(port)
        if opened or closed:
            log.info("listeners.changed", opened=opened, closed=closed, listening=len(self.sockets))
        self._count()

    def _open(self, port: int) -> bool:
        try:
            sock = self.inherited.pop(port, None) or self._bind(port)
            self.sockets[port] = sock
            self._on_opened(port, sock)  # which takes a descriptor for each worker
        except OSError as error:
            self._close(port)
            self._note(port, error)
            return False
        self.failures.pop(port, None)
        return True

    def _bind(self, port: int) -> socket.socket:
        if len(self.sockets) >= self._most:
            raise OSError(errno.EMFILE, f"{self._most} ports are listened on already")
        return self._bind_port(port)

    def _note(self, port: int, error: OSError) -> None:
        code = _CODES.get(error.errno or 0, Code.PORT_UNAVAILABLE)
        detail = error.strerror or os.strerror(error.errno or 0)
        if error.errno in {errno.EACCES, errno.EPERM}:
            detail = f"{detail}: {_PRIVILEGE}"
        failure = ListenerFailure(code, detail)
        if self.failures.get(port) != failure:
            tenant_id = self._owners[port][0].hex()
            facts = {
                "protocol": self._kind,
                "port": port,
                "tenant_id": tenant_id,
                "code": code.word,
                "detail": detail,
            }
            self._lines.warning("listener.failed", key=(tenant_id, code), times=1, **facts)
        self.failures[port] = failure

    def _close(self, port: int) -> bool:
        sock = self.sockets.pop(port, None)
        if sock is None:
            return False
        self._on_closed(port)
        with contextlib.suppress(OSError):  # workers close theirs a moment later
            sock.shutdown(socket.SHUT_RDWR)
        sock.close()
        return True

    def _count(self) -> None:
        for state, ports in (("listening", self.sockets), ("failed", self.failures)):
            self._metrics.listeners.labels(self._kind, state).set(len(ports))


def _count_affordable() -> int:
    """Return how many ports may be listened on: half of a process's descriptors are for clients and all else."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return max(1, soft // 2)
