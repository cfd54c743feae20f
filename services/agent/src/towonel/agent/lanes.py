"""Control of the worker that holds an agent's lanes: what it is told, and what it counts.

The worker is started with the first session whose edge has lanes, and replaced when it dies. What comes
on streams is none of its business: the edge decides which way a client goes.
"""

import asyncio
import contextlib
from collections.abc import Collection, Generator, Sequence
from functools import partial
from itertools import batched
from random import SystemRandom
from typing import Final, override

import structlog

from towonel.agent.core.link_end import find_cut
from towonel.agent.core.services import Origin, ProxyProtocol, Service
from towonel.agent.lane_metrics import LaneMetrics
from towonel.agent.origin_log import OriginLog
from towonel.agent.worker import messages
from towonel.agent.worker.messages import (
    ORIGINS_PER_MESSAGE,
    Counters,
    Crashed,
    Down,
    Drain,
    Drained,
    HeadersUnread,
    LanesFailed,
    LanesRecovered,
    LanesWanted,
    Message,
    OriginFacts,
    Ready,
    Refused,
    Resolve,
    Resolved,
    ServiceName,
    Session,
    SessionEnded,
    SessionGoingAway,
    SessionLanes,
    Start,
    name_service,
    to_key,
)
from towonel.relay.channel import ChannelMessage
from towonel.relay.core.lane_kinds import LaneKind
from towonel.relay.supervisor import Control, Worker, exec_python, supervise
from towonel.relay.supervisor import Start as StartProcess
from towonel.runtime.admin import Health
from towonel.runtime.dns.resolver import Resolver, parse_address
from towonel.tunnel.link import Link
from towonel.wire.errors import Code, ProtocolError
from towonel.wire.names import ServiceKey

_CHECK: Final = "lanes"
log: structlog.stdlib.BoundLogger = structlog.get_logger()


class Lanes(Control):
    """Lanes of all links, in a worker process.

    Args:
        services: of the environment.
        start: first message of a worker.
        resolver: of the names of origins.
        metrics: count what the worker did.
        health: says which edges take no lanes.
        origin_log: says what origins do wrong.
        kinds: of lanes, in order of preference; none for no lanes.
        start_process: starts a worker.
    """

    def __init__(
        self,
        services: Collection[Service],
        start: Start,
        resolver: Resolver,
        metrics: LaneMetrics,
        health: Health,
        origin_log: OriginLog,
        *,
        kinds: Sequence[LaneKind] = (LaneKind.PLAIN,),
        start_process: StartProcess | None = None,
    ) -> None:
        self._origins = {service.key: service.origin for service in services}
        self._start = start
        self._resolver = resolver
        self._metrics = metrics
        self._health = health
        self._log = origin_log
        self._kinds = tuple(kinds)
        self._start_process = start_process or exec_python("-m", "towonel.agent.worker")
        self._links: dict[bytes, Link] = {}
        self._server_names: dict[bytes, str] = {}
        self._failed: dict[bytes, Code] = {}
        self._worker: Worker | None = None
        self._tasks: asyncio.TaskGroup | None = None
        self._wanted = asyncio.Event()
        self._drained = asyncio.Event()
        self._draining = False

    @property
    def enabled(self) -> bool:
        """Whether clients may come over lanes at all."""
        return bool(self._kinds)

    @property
    def active(self) -> int:
        """Clients of the worker, a second ago at most."""
        return self._metrics.active

    @contextlib.contextmanager
    def hold(self, link: Link, server_name: str) -> Generator[None]:
        """Have lanes beside an open link, if its edge has some, for the time of the block.

        Lanes inside TLS ask for `server_name`.
        """
        if not self._kinds or link.lane_secret is None:
            yield
            return
        session_id = link.session_id
        self._links[session_id] = link
        self._server_names[session_id] = server_name
        link.observe_lanes = partial(self._want, session_id)
        self._tell_session(link)
        self._wanted.set()
        try:
            yield
        finally:
            del self._links[session_id], self._server_names[session_id]
            self._metrics.forget_session(session_id)
            self._note_failure(session_id, None)
            self._tell(SessionEnded(session_id, find_cut(link.end_code)))

    def go_away(self, link: Link) -> None:
        """Dial no more lanes beside a link whose edge takes no new clients."""
        if link.session_id in self._links:
            self._tell(SessionGoingAway(link.session_id))

    async def run(self) -> None:
        """Keep a worker running, once one is wanted."""
        await self._wanted.wait()
        async with (
            asyncio.TaskGroup() as self._tasks,
            supervise(self, self._start_process, SystemRandom()),
        ):
            await asyncio.Event().wait()

    async def drain(self) -> None:
        """Take no more clients, and return when those that there are have ended."""
        self._draining = True
        if self._worker is not None:
            self._tell(Drain())
            await self._drained.wait()

    # Of the worker.

    @override
    def on_started(self, worker: Worker) -> None:
        self._worker = worker
        self._tell(self._start)
        for some in batched(self._origins.items(), ORIGINS_PER_MESSAGE, strict=False):
            self._tell(messages.Origins(tuple(map(_facts_of, some))))
        if self._draining:
            self._tell(Drain())
            return
        for link in self._links.values():
            self._tell_session(link)

    @override
    def on_message(self, worker: Worker, message: ChannelMessage) -> None:
        decoded = messages.decode(message)
        match decoded:
            case Counters():
                self._metrics.count(decoded)
            case SessionLanes():
                self._metrics.set_session(decoded)
            case LanesFailed(session_id, code):
                self._note_failure(session_id, Code(code))
            case LanesRecovered(session_id):
                self._note_failure(session_id, None)
            case Drained():
                self._drained.set()
            case _:
                self._act_on_origins(decoded)

    @override
    def on_lost(self, reason: str) -> None:
        log.error("worker.lost", reason=reason, clients=self.active)
        self._worker = None
        self._metrics.lose_worker()
        if self._draining:
            self._drained.set()

    def _act_on_origins(self, message: Message) -> None:
        match message:
            case Resolve(service):
                self._resolve(service)
            case Refused() | HeadersUnread():
                self._log_events(message)
            case Crashed(traceback):
                log.error("client.crashed", traceback=traceback)
            case Ready():
                pass
            case _:
                raise ProtocolError(Code.UNEXPECTED_MESSAGE, message.kind)

    def _tell(self, message: Down) -> None:
        """Tell the worker; one that is started later is told the whole state."""
        if self._worker is not None:
            self._worker.send(message.kind, messages.encode(message))

    def _tell_session(self, link: Link) -> None:
        assert link.lane_secret is not None, "it has lanes"
        host, port = _host_and_port(link)
        edge = link.edge
        session = Session(
            link.session_id,
            link.lane_secret,
            edge.edge_id,
            edge.certificate_sha256,
            host,
            port,
            self._server_names[link.session_id],
            tuple(map(str, self._kinds)),
        )
        self._tell(session)
        if link.lanes_wanted is not None:
            self._tell(LanesWanted(link.session_id, link.lanes_wanted))
        if not link.is_serving:
            self._tell(SessionGoingAway(link.session_id))

    def _want(self, session_id: bytes, count: int) -> None:
        self._tell(LanesWanted(session_id, count))

    def _note_failure(self, session_id: bytes, code: Code | None) -> None:
        """Note whether the edge of a session takes lanes; the clients of one that does not go by stream."""
        link = self._links.get(session_id)
        if code is None:
            self._failed.pop(session_id, None)
        elif link is not None:
            self._failed[session_id] = code
            log.warning(
                "lanes.failed", edge_id=link.edge.edge_id.hex(), peer=link.peer, code=code.word
            )
        self._show_failures()

    def _show_failures(self) -> None:
        codes = ", ".join(sorted({code.word for code in self._failed.values()}))
        count = len(self._failed)
        reason = f"{count} of {len(self._links)} edges take no lanes ({codes}): streams serve"
        self._health.set_degraded(_CHECK, reason=reason if count else None)

    def _resolve(self, service: ServiceName) -> None:
        assert self._tasks is not None, "it is there before the worker"
        self._tasks.create_task(self._look_up(service, self._origins[to_key(service)]))

    async def _look_up(self, service: ServiceName, origin: Origin) -> None:
        """Answer with the addresses of now; the worker asks for each name once at a time."""
        self._resolver.expire(origin.host)
        try:
            addresses = await self._resolver.resolve(origin.host, origin.port)
        except OSError:
            addresses = ()
        self._tell(Resolved(service, addresses))

    def _log_events(self, event: Refused | HeadersUnread) -> None:
        key = to_key(event.service)
        if isinstance(event, Refused):
            self._log.refuse(key, Code(event.code), times=event.count)
        else:
            self._metrics.count_unread(event.count)
            self._log.hint(key, self._origins[key], times=event.count)


def _facts_of(item: tuple[ServiceKey, Origin]) -> OriginFacts:
    key, origin = item
    proxied = origin.proxy_protocol is ProxyProtocol.V2
    return name_service(key), proxied, parse_address(origin.host, origin.port) or None


def _host_and_port(link: Link) -> tuple[str, int]:
    """Return where the link goes, with the zone of an address that has one."""
    match link.address:
        case (host, port, _, zone) if zone:
            return f"{host}%{zone}", port
        case (host, port, *_):
            return host, port
