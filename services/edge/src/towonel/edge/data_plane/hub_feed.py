"""Feed of the hub's own name to the workers: they connect to addresses, and resolve no names."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncGenerator, Callable, Iterator
from typing import Final

import structlog

from towonel.edge.core.http.hub_route import HubRoute
from towonel.edge.worker.messages import Message
from towonel.edge.worker.termination.messages import HubRouteChanged
from towonel.relay.hop.choice import SocketName
from towonel.runtime.logs import describe_error

LOOK_S: Final = 30.0

log: structlog.stdlib.BoundLogger = structlog.get_logger()


class HubFeed:
    """Feed of the hub's own name.

    Args:
        tell: sends a message to all workers.
    """

    def __init__(self, tell: Callable[[Message], None]) -> None:
        self._tell = tell
        self._message: HubRouteChanged | None = None
        self._failure = ""  # of the last look-up

    def describe(self) -> Iterator[Message]:
        """Yield what a worker that starts is to know."""
        if self._message is not None:
            yield self._message

    @contextlib.asynccontextmanager
    async def follow(
        self, route: HubRoute | None, proof: bytes, look_s: float = LOOK_S
    ) -> AsyncGenerator[None]:
        """Let workers answer the hub's own name for the time of the block, if there is one.

        Args:
            route: of that name.
            proof: as of `HubRouteChanged`.
            look_s: after which the name of the hub's host is looked up again.
        """
        if route is None:
            yield
            return
        log.info("hub_name.answered", name=route.name, hub=route.url)
        async with asyncio.TaskGroup() as tasks:
            task = tasks.create_task(self._follow(route, proof, look_s))
            try:
                yield
            finally:
                task.cancel()

    async def _follow(self, route: HubRoute, proof: bytes, look_s: float) -> None:
        """Tell workers the addresses, if they are others; what was found last is used where nothing is."""
        while True:
            addresses = await self._look_up(route)
            if addresses is not None and (
                self._message is None or addresses != self._message.addresses
            ):
                self._message = HubRouteChanged(route.name, addresses, proof)
                self._tell(self._message)
            await asyncio.sleep(look_s)

    async def _look_up(self, route: HubRoute) -> tuple[SocketName, ...] | None:
        host, port = route.address
        loop = asyncio.get_running_loop()
        try:
            found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except OSError as error:
            failure = describe_error(error)
            if failure != self._failure:
                log.warning("hub_name.unresolved", host=host, error=failure)
            self._failure = failure
            return None
        self._failure = ""
        return tuple(each[4] for each in found)  # type: ignore[misc]  # of TCP over IP: two items, or four
