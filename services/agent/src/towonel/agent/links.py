"""Links to every edge the hub names: dialled, kept, renewed, and dialled again."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Collection, Iterable
from random import SystemRandom

import structlog

from towonel.agent.core.edges import Edge, plan_links
from towonel.agent.metrics import VERSION, Metrics
from towonel.agent.origins import Origins
from towonel.identity.keys import NodeKey
from towonel.runtime.admin import Health
from towonel.runtime.backoff import Backoff
from towonel.tunnel.handshake import EdgeIdentity
from towonel.tunnel.link import Link, dial
from towonel.wire.errors import Code, TowonelError
from towonel.wire.ids import EdgeId
from towonel.wire.names import ServiceKey

FIRST_DELAY_S, MAX_DELAY_S, HEALTHY_S = 0.5, 30.0, 60.0
SOFTWARE = f"towonel-agent/{VERSION}"
log: structlog.stdlib.BoundLogger = structlog.get_logger()


class Links:
    """One task per edge; `follow` and `renew` are called with what the hub says."""

    def __init__(
        self,
        tasks: asyncio.TaskGroup,
        key: NodeKey,
        services: Collection[ServiceKey],
        origins: Origins,
        metrics: Metrics,
        health: Health,
    ) -> None:
        self._tasks = tasks
        self._key = key
        self._services = services
        self._origins = origins
        self._metrics = metrics
        self._health = health
        self._grant = b""
        self._edges: dict[EdgeId, Edge] = {}
        self._keepers: dict[EdgeId, asyncio.Task[None]] = {}
        self._live: set[Link] = set()
        self._draining = False
        self._rng = SystemRandom()
        self._show()

    def renew(self, grant: bytes) -> None:
        """Use a newer grant, on the links there are and on those to come."""
        if grant != self._grant:
            self._grant = grant
            for link in self._live:
                link.renew(grant)

    def update_edges(self, wanted: Iterable[Edge]) -> None:
        """Dial edges that are new, leave those that are gone, redial those that changed."""
        if self._draining:
            return
        todo = plan_links(self._edges, wanted)
        for edge_id in todo.leave:
            self._keepers.pop(edge_id).cancel()
            del self._edges[edge_id]
            log.info("edge.left", edge_id=edge_id.hex())
        for edge in todo.dial:
            self._edges[edge.edge_id] = edge
            self._keepers[edge.edge_id] = self._tasks.create_task(self._keep(edge))

    async def drain(self) -> None:
        """Take no more streams, and return when those there are have ended."""
        self._draining = True
        for link in self._live:
            link.go_away()
        await self._origins.idle.wait()

    def close(self) -> None:
        """End every link now."""
        self._draining = True
        for keeper in self._keepers.values():
            keeper.cancel()
        self._keepers.clear()
        self._edges.clear()

    async def _keep(self, edge: Edge) -> None:
        """Keep one link to an edge: one after the other, and a new one before an old one goes."""
        backoff = Backoff(FIRST_DELAY_S, MAX_DELAY_S, HEALTHY_S)
        loop = asyncio.get_running_loop()
        async with asyncio.TaskGroup() as finishing:
            while not self._draining:
                started = loop.time()
                for address in edge.addresses:
                    if await self._link(edge, address, finishing):
                        break
                backoff.record_success(loop.time() - started)
                if not self._draining:
                    await asyncio.sleep(backoff.next_delay(self._rng))

    async def _link(
        self, edge: Edge, address: tuple[str, int], finishing: asyncio.TaskGroup
    ) -> bool:
        """Hold a link until it ends, or until its edge says to go; whether there was one."""
        facts = {"edge_id": edge.edge_id.hex(), "address": f"{address[0]}:{address[1]}"}
        async with contextlib.AsyncExitStack() as exits:
            try:
                link = await exits.enter_async_context(self._dial(edge, address))
            except (TowonelError, OSError) as error:
                code = error.code if isinstance(error, TowonelError) else Code.SESSION_LOST
                self._metrics.links_refused.labels(code.word).inc()
                log.warning("link.failed", **facts, code=code.word, detail=str(error))
                return False
            log.info("link.opened", **facts)
            self._metrics.links_opened.inc()
            if await _told_to_go(link):
                log.info("link.going_away", **facts)
                finishing.create_task(_finish(exits.pop_all(), link))
                return True
            code = await link.wait_closed()
            self._metrics.links_refused.labels(code.word).inc()
            log.info("link.closed", **facts, code=code.word)
        return True

    @contextlib.asynccontextmanager
    async def _dial(self, edge: Edge, address: tuple[str, int]) -> AsyncGenerator[Link]:
        identity = EdgeIdentity(edge.edge_id, edge.certificate_pem, edge.certificate_sha256)
        async with dial(
            address,
            edge=identity,
            key=self._key,
            grant=self._grant,
            services=self._services,
            handle=self._origins.handle,
            software=SOFTWARE,
        ) as link:
            self._live.add(link)
            self._show()
            try:
                yield link
            finally:
                self._live.discard(link)
                self._show()

    def _show(self) -> None:
        serving = sum(not link.going_away.is_set() for link in self._live)
        self._metrics.links.set(serving)
        self._health.set("edges", ok=serving > 0, reason="no link to any edge")


async def _told_to_go(link: Link) -> bool:
    """Wait for the link's end or its edge's GoAway; whether it was the latter."""
    async with asyncio.TaskGroup() as waiting:
        going = waiting.create_task(link.going_away.wait())
        ended = waiting.create_task(link.wait_closed())
        await asyncio.wait([going, ended], return_when=asyncio.FIRST_COMPLETED)
        is_going = not ended.done()
        going.cancel()
        ended.cancel()
    return is_going


async def _finish(exits: contextlib.AsyncExitStack, link: Link) -> None:
    """Let a link's streams end; the edge closes it."""
    async with exits:
        await link.wait_closed()
