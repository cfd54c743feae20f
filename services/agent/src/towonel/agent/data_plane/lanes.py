"""Control of the workers that hold an agent's lanes: what they are told, and what they count.

They are started with the first session whose edge has lanes, and replaced when they die. Each keeps its share
of a session's lanes. What comes on streams is none of their business: the edge decides which way a client goes.
"""

import asyncio
import contextlib
from collections.abc import Callable, Collection, Generator, Sequence
from copy import replace
from dataclasses import dataclass
from random import SystemRandom
from typing import Final

import structlog

from towonel.agent.core.lane_shares import LaneShares
from towonel.agent.core.link_end import find_cut
from towonel.agent.core.services import Service
from towonel.agent.data_plane.client_memory import ClientMemory
from towonel.agent.data_plane.lane_metrics import LaneMetrics
from towonel.agent.data_plane.origin_feed import OriginFeed
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
    Session,
    SessionEnded,
    SessionGoingAway,
    SessionLanes,
    Start,
)
from towonel.relay.core.lane_kinds import LaneKind
from towonel.relay.core.lane_pool import LEAST_IDLE
from towonel.relay.supervisor import Start as StartProcess
from towonel.relay.supervisor import supervise
from towonel.relay.worker_monitor import WorkerMonitor
from towonel.runtime.admin import Health
from towonel.runtime.dns.resolver import Resolver
from towonel.tunnel.link import Link
from towonel.wire.errors import Code, ProtocolError

_CHECK: Final = "lanes"
log: structlog.stdlib.BoundLogger = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class _HeldSession:
    """Session that lanes are held of; those inside TLS ask for `server_name`."""

    link: Link
    server_name: str
    shares: LaneShares


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
        self._sessions: dict[bytes, _HeldSession] = {}
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
        session_id = link.session_id
        if session_id in self._sessions:
            raise ProtocolError(Code.UNEXPECTED_MESSAGE, "the edge names two sessions alike")
        session = _HeldSession(link, server_name, self._share_out(link))
        self._sessions[session_id] = session
        link.observe_lanes = lambda count: self._change(session_id, lambda each: each.want(count))
        for worker in self.links:
            self._tell_session(worker, session)
        self._wanted.set()
        try:
            yield
        finally:
            del self._sessions[session_id]
            self._metrics.forget_session(session_id)
            self._show_failures()
            self._tell(SessionEnded(session_id, find_cut(link.end_code)))

    def go_away(self, link: Link) -> None:
        """Dial no more lanes beside a link whose edge takes no new clients."""
        if link.session_id in self._sessions:
            self._tell(SessionGoingAway(link.session_id))

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
        for session in self._sessions.values():
            self._tell_session(link, session)

    def act(self, worker: int, message: Message) -> None:
        """Act on what a worker says."""
        match message:
            case Counters():
                self._metrics.count(worker, message)
            case SessionLanes():
                self._count_lanes(worker, message)
            case LanesFailed(session_id, code):
                self._change(session_id, lambda each: each.note_failure(worker, Code(code)))
            case LanesWorking(session_id):
                self._change(session_id, lambda each: each.note_working(worker))
            case _:
                self._act_on_origins(message)

    def lose(self, worker: int, reason: str) -> None:
        """Act on the end of a worker and its clients; the next one has its share of lanes."""
        before = self.active
        self._clients.clear(worker)
        log.error("worker.lost", reason=reason, clients=before - self.active)
        self._metrics.lose_worker(worker)
        self._monitor.note_end(worker, reason)
        for session_id in self._sessions:
            self._change(session_id, lambda each: each.forget(worker))

    def _count_lanes(self, worker: int, lanes: SessionLanes) -> None:
        if lanes.id in self._sessions:
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

    def _tell_session(self, worker: WorkerLink, session: _HeldSession) -> None:
        link, edge = session.link, session.link.edge
        assert link.lane_secret is not None, "it has lanes"
        host, port = _host_and_port(link)
        worker.tell(
            Session(
                link.session_id,
                link.lane_secret,
                edge.edge_id,
                edge.certificate_sha256,
                host,
                port,
                session.server_name,
                tuple(map(str, self._kinds)),
                session.shares.shares[worker.number],
            )
        )
        if not link.is_serving:
            worker.tell(SessionGoingAway(link.session_id))

    def _share_out(self, link: Link) -> LaneShares:
        """Share a session's lanes out; of few lanes, those of different sessions go to different workers."""
        workers, wanted = len(self.links), link.lanes_wanted
        first = int.from_bytes(link.session_id) % workers
        return LaneShares(workers, first, LEAST_IDLE if wanted is None else wanted)

    def _change(self, session_id: bytes, change: Callable[[LaneShares], list[int]]) -> None:
        """Change the shares of a session, and tell the workers that have another one."""
        session = self._sessions.get(session_id)
        if session is None:
            return
        shares, failure = session.shares, session.shares.failure
        for worker in change(shares):
            self.links[worker].tell(LanesWanted(session_id, shares.shares[worker]))
        if shares.failure is not failure:
            self._note_failure(session)

    def _note_failure(self, session: _HeldSession) -> None:
        """Note whether the edge of a session takes lanes; the clients of one that does not go by stream."""
        code, link = session.shares.failure, session.link
        if code is not None:
            edge_id = link.edge.edge_id.hex()
            log.warning("lanes.failed", edge_id=edge_id, peer=link.peer, code=code.word)
        self._show_failures()

    def _show_failures(self) -> None:
        found = [session.shares.failure for session in self._sessions.values()]
        failed = [code.word for code in found if code is not None]
        codes = ", ".join(sorted(set(failed)))
        reason = (
            f"{len(failed)} of {len(found)} edges take no lanes ({codes}): streams carry clients"
        )
        self._health.set_degraded(_CHECK, reason=reason if failed else None)


def _host_and_port(link: Link) -> tuple[str, int]:
    """Return where the link goes, with the zone of an address that has one."""
    match link.address:
        case (host, port, _, zone) if zone:
            return f"{host}%{zone}", port
        case (host, port, *_):
            return host, port
