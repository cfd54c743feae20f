"""Registry of the clients that are relayed, and what ends them from outside.

That is a route that went or now belongs to somebody else, a client that acknowledges nothing any
more, and one that is idle for longer than it may be.
"""

import asyncio
import contextlib
import socket
from collections.abc import AsyncGenerator, Callable, Generator, Iterable
from dataclasses import dataclass, field

from towonel.edge.core.route_table import PublicName, RouteTable, route_keys
from towonel.edge.timing import DEFAULT_TIMING, ClientTiming
from towonel.tunnel.pipe import Pipe
from towonel.tunnel.tcp_output import OutputWatch, read_output_state, with_pauses
from towonel.wire.errors import Code, Unavailable
from towonel.wire.ids import TenantId


@dataclass(slots=True, eq=False)
class Relay:
    """Relay of one client."""

    sock: socket.socket
    client: Pipe
    upstream: Pipe
    name: PublicName
    tenant_id: TenantId
    active_at: float  # when bytes were last found to have passed
    carried_bytes: int = 0
    bytes_in: int = 0  # of those, from the client
    seen_bytes: int = 0  # of those, at the last look
    is_outstanding: bool = False
    output: OutputWatch = field(default_factory=OutputWatch)

    def end(self, code: Code) -> None:
        """End both sides at once."""
        self.client.abort(code)
        self.upstream.abort(code)


class Relays:
    """Registry of relays.

    Args:
        table: the routes.
        idle_s: for which a client may send and get nothing; 0 is for ever.
        timing: `unacknowledged_s` and `check_s`.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        table: RouteTable,
        *,
        idle_s: float = 0.0,
        timing: ClientTiming = DEFAULT_TIMING.clients,
        clock: Callable[[], float],
    ) -> None:
        self._table = table
        self._idle_s = idle_s
        self._timing = timing
        self._clock = clock
        self._relays: set[Relay] = set()
        self._by_route: dict[str, set[Relay]] = {}
        self._changed_routes: set[str] = set()
        self._has_changed = asyncio.Event()

    @contextlib.contextmanager
    def track(
        self,
        sock: socket.socket,
        client: Pipe,
        upstream: Pipe,
        name: PublicName,
        tenant_id: TenantId,
    ) -> Generator[Relay]:
        """Let a relay be ended from outside for the time of the block.

        Raises:
            Unavailable: NO_ROUTE, the route went while the upstream was opened.
        """
        relay = Relay(sock, client, upstream, name, tenant_id, self._clock())
        if not self._is_routed(relay):
            raise Unavailable(Code.NO_ROUTE, f"{name}: its route went")
        self._relays.add(relay)
        for key in route_keys(relay.name):
            self._by_route.setdefault(key, set()).add(relay)
        try:
            yield relay
        finally:
            self._forget(relay)

    def recheck(self, routes: Iterable[str]) -> None:
        """End relays whose route went, or has another owner, soon; `routes` are what changed."""
        self._changed_routes.update(self._by_route.keys() & routes)
        if self._changed_routes:
            self._has_changed.set()

    def recheck_all(self) -> None:
        """The same, where any route may have changed."""
        self.recheck(self._by_route)

    @contextlib.asynccontextmanager
    async def watch(self) -> AsyncGenerator[None]:
        """End relays that are to be ended, for the time of the block."""
        async with asyncio.TaskGroup() as tasks:
            running = [
                tasks.create_task(self._end_unrouted()),
                tasks.create_task(self._end_silent()),
            ]
            try:
                yield
            finally:
                for task in running:
                    task.cancel()

    async def _end_unrouted(self) -> None:
        while True:
            await self._has_changed.wait()
            self._has_changed.clear()
            changed, self._changed_routes = self._changed_routes, set()
            affected = {relay for key in changed for relay in self._by_route.get(key, ())}
            async for relay in with_pauses(affected):
                if not self._is_routed(relay):
                    relay.end(Code.NO_ROUTE)

    async def _end_silent(self) -> None:
        while True:
            await asyncio.sleep(self._timing.check_s)
            async for relay in with_pauses(self._relays):
                if relay in self._relays and self._is_silent(relay, self._clock()):
                    relay.end(Code.CLIENT_TIMEOUT)

    def _is_routed(self, relay: Relay) -> bool:
        route = self._table.lookup(relay.name)
        return route is not None and route.tenant_id == relay.tenant_id

    def _is_silent(self, relay: Relay, now: float) -> bool:
        """Whether a client acknowledges nothing, or has been idle for too long."""
        if relay.carried_bytes != relay.seen_bytes:
            relay.seen_bytes, relay.active_at = relay.carried_bytes, now
        elif self._idle_s and now - relay.active_at >= self._idle_s:
            return True
        elif not relay.is_outstanding:  # as of the last look, and nothing was sent since
            return False
        try:
            state = read_output_state(relay.sock)
        except OSError:
            return False  # it has ended by itself
        relay.is_outstanding = state.is_outstanding
        return relay.output.is_dead(state, now, self._timing.unacknowledged_s)

    def _forget(self, relay: Relay) -> None:
        self._relays.discard(relay)
        for key in route_keys(relay.name):
            of_route = self._by_route[key]
            of_route.discard(relay)
            if not of_route:
                del self._by_route[key]
