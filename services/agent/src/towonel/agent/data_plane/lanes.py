"""Control of the workers that hold an agent's lanes: what they are told, and what they count.

They are started with the first session whose edge has lanes, and replaced when they die. Each keeps its share
of a session's lanes. What comes on streams is none of their business: the edge decides which way a client goes.
"""

import asyncio
import contextlib
from collections.abc import Callable, Collection, Generator, Sequence
from copy import replace
from random import SystemRandom
from typing import Final

import structlog

from towonel.agent.core.lane_shares import LaneShares
from towonel.agent.core.link_end import find_cut
from towonel.agent.core.services import Service
from towonel.agent.data_plane.client_memory import ClientMemory
from towonel.agent.data_plane.lane_metrics import LaneMetrics
from towonel.agent.data_plane.origin_feed import OriginFeed
from towonel.agent.data_plane.pools import (
    Pool,
    describe_failures,
    describe_pool,
    make_pools,
)
from towonel.agent.data_plane.worker_link import WorkerLink
from towonel.agent.origin_log import OriginLog
from towonel.agent.worker.messages import (
    Counters,
    Crashed,
    Down,
    Drain,
    HeadersUnread,
    LanesFailed,
    LanesWanted,
    LanesWorking,
    Message,
    Ready,
    Refused,
    Resolve,
    SessionEnded,
    SessionGoingAway,
    SessionLanes,
    Start,
)
from towonel.relay.core.lane_kinds import LaneKind
from towonel.relay.supervisor import Start as StartProcess
from towonel.relay.supervisor import supervise
from towonel.relay.worker_monitor import WorkerMonitor
from towonel.runtime.admin import Health
from towonel.runtime.dns.resolver import Resolver
from towonel.tunnel.link import Link
from towonel.wire.errors import Code, ProtocolError

_CHECK: Final = "lanes"
log: structlog.stdlib.BoundLogger = structlog.get_logger()


class Lanes:
    """Lanes of all links, in worker processes.

    Args:
        services: of the environment.
        start: first message of each worker, which says how many there are.
        resolver: of the names of origins.
        metrics: count what the workers did.
        health: says which edges take no lanes, and which workers keep ending.
        origin_log: says what origins do wrong.
        clients: memory of the counts of clients.
        start_process: starts a worker.
        kinds: of lanes, in order of preference; none for no lanes.

    Attributes:
        links, origins: to the workers, and of their clients.
    """

    def __init__(
        self,
        services: Collection[Service],
        start: Start,
        resolver: Resolver,
        metrics: LaneMetrics,
        health: Health,
        origin_log: OriginLog,
        clients: ClientMemory,
        *,
        start_process: StartProcess,
        kinds: Sequence[LaneKind] = (LaneKind.PLAIN,),
    ) -> None:
        self.origins = OriginFeed(services, resolver, origin_log, self._tell)
        self._start = start
        self._metrics = metrics
        self._health = health
        self._monitor = WorkerMonitor(health, start.workers, are_needed=False)  # streams serve, too
        metrics.show_unstable(lambda: self._monitor.unstable)
        self._clients = clients
        self._kinds = tuple(kinds)
        self._start_process = start_process
        self._pools: dict[bytes, Pool] = {}
        self.links = [WorkerLink(self, number) for number in range(start.workers)]
        self._tasks: asyncio.TaskGroup | None = None
        self._wanted = asyncio.Event()
        self._draining = False

    @property
    def enabled(self) -> bool:
        """Whether clients may come over lanes at all."""
        return bool(self._kinds)

    @property
    def active(self) -> int:
        """Clients of the workers."""
        return self._clients.counts.elsewhere

    @contextlib.contextmanager
    def hold(self, link: Link, server_name: str) -> Generator[None]:
        """Have lanes beside an open link, if its edge has some, for the time of the block.

        Lanes inside TLS ask for `server_name`.

        Raises:
            ProtocolError: UNEXPECTED_MESSAGE where the edge gave the link the id of another session.
        """
        if not self._kinds or link.lane_secret is None or self._draining:
            yield
            return
        pools = make_pools(link, server_name, self._kinds, len(self.links))
        if self._pools.keys() & pools:
            raise ProtocolError(Code.UNEXPECTED_MESSAGE, "the edge names two sessions alike")
        self._pools |= pools
        link.observe_lanes = self._want
        for pool in pools.values():
            for worker in self.links:
                self._tell_pool(worker, pool)
        self._wanted.set()
        try:
            yield
        finally:
            for pool_id in pools:
                del self._pools[pool_id]
                self._metrics.forget_session(pool_id)
                self._tell(SessionEnded(pool_id, find_cut(link.end_code)))
            self._show_failures()

    def go_away(self, link: Link) -> None:
        """Dial no more lanes beside a link whose edge takes no new clients."""
        for pool in self._pools.values():
            if pool.link is link:
                self._tell(SessionGoingAway(pool.id))

    async def run(self) -> None:
        """Keep the workers running, once they are wanted."""
        await self._wanted.wait()
        async with asyncio.TaskGroup() as self._tasks, contextlib.AsyncExitStack() as workers:
            workers.callback(self._monitor.close)
            for link in self.links:
                supervising = supervise(link, self._start_process, SystemRandom())
                await workers.enter_async_context(supervising)
            await asyncio.Event().wait()

    async def drain(self) -> None:
        """Take no more clients, and return when those that there are have ended."""
        self._draining = True
        for link in self.links:
            link.drain()
        for link in self.links:
            await link.wait_drained()

    # Of the workers.

    def feed(self, link: WorkerLink) -> None:
        """Tell a worker that was started all that it needs."""
        self._monitor.note_start(link.number)
        link.tell(replace(self._start, number=link.number), [self._clients.duplicate()])
        for origins in self.origins.describe():
            link.tell(origins)
        if self._draining:
            link.tell(Drain())
            return
        for pool in self._pools.values():
            self._tell_pool(link, pool)

    def act(self, worker: int, message: Message) -> None:
        """Act on what a worker says."""
        match message:
            case Counters():
                self._metrics.count(worker, message)
            case SessionLanes():
                self._count_lanes(worker, message)
            case LanesFailed(pool_id, code):
                self._change(pool_id, lambda each: each.note_failure(worker, Code(code)))
            case LanesWorking(pool_id):
                self._change(pool_id, lambda each: each.note_working(worker))
            case _:
                self._act_on_origins(message)

    def lose(self, worker: int, reason: str) -> None:
        """Act on the end of a worker and its clients; the next one has its share of lanes."""
        before = self.active
        self._clients.clear(worker)
        log.error("worker.lost", reason=reason, clients=before - self.active)
        self._metrics.lose_worker(worker)
        self._monitor.note_end(worker, reason)
        for pool_id in self._pools:
            self._change(pool_id, lambda each: each.forget(worker))

    def _count_lanes(self, worker: int, lanes: SessionLanes) -> None:
        if lanes.id in self._pools:
            self._metrics.set_session(worker, lanes)
            self._change(lanes.id, lambda each: each.note_in_use(worker, lanes.in_use))

    def _act_on_origins(self, message: Message) -> None:
        match message:
            case Resolve(service):
                assert self._tasks is not None, "it is there before the workers"
                self.origins.look_up(service, self._tasks)
            case Refused():
                self.origins.log(message)
            case HeadersUnread():
                self._metrics.count_unread(message.count)
                self.origins.log(message)
            case Crashed(traceback):
                log.error("client.crashed", traceback=traceback)
            case Ready():
                pass
            case _:
                raise ProtocolError(Code.UNEXPECTED_MESSAGE, message.kind)

    def _tell(self, message: Down) -> None:
        for link in self.links:
            link.tell(message)

    def _tell_pool(self, worker: WorkerLink, pool: Pool) -> None:
        worker.tell(describe_pool(pool, worker.number))
        if not pool.link.is_serving:
            worker.tell(SessionGoingAway(pool.id))

    def _want(self, pool_id: bytes, count: int) -> None:
        self._change(pool_id, lambda each: each.want(count))

    def _change(self, pool_id: bytes, change: Callable[[LaneShares], list[int]]) -> None:
        """Change the shares of a pool, and tell the workers that have another one."""
        pool = self._pools.get(pool_id)
        if pool is None:
            return
        shares, failure = pool.shares, pool.shares.failure
        for worker in change(shares):
            self.links[worker].tell(LanesWanted(pool_id, shares.shares[worker]))
        if shares.failure is not failure:
            self._note_failure(pool)

    def _note_failure(self, pool: Pool) -> None:
        """Note whether the edge of a pool takes lanes; the clients of one that does not go by stream."""
        code, link = pool.shares.failure, pool.link
        if code is not None:
            edge_id = link.edge.edge_id.hex()
            log.warning("lanes.failed", edge_id=edge_id, peer=link.peer, code=code.word)
        self._show_failures()

    def _show_failures(self) -> None:
        self._health.set_degraded(_CHECK, reason=describe_failures(self._pools.values()))
