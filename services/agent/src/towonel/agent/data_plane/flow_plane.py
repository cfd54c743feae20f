"""UDP side of an agent's data plane, as control sees it: its edges' secrets, and the flow worker."""

import asyncio
import contextlib
from collections.abc import Collection, Generator, Sequence
from random import SystemRandom
from typing import Final, override

import structlog

from towonel.agent.core.services import Origin, ProxyProtocol, Service
from towonel.agent.data_plane.origin_feed import OriginFeed
from towonel.agent.flows.messages import (
    CODEC,
    Counters,
    Message,
    Ready,
    Session,
    SessionSecret,
    Start,
)
from towonel.agent.metrics import Metrics
from towonel.agent.origin_log import OriginLog
from towonel.agent.worker.messages import (
    Crashed,
    Drain,
    Refused,
    Resolve,
    SessionEnded,
)
from towonel.relay.channel import ChannelMessage
from towonel.relay.core.datagram_path import PathState
from towonel.relay.supervisor import Control, Worker, supervise
from towonel.relay.supervisor import Start as StartProcess
from towonel.runtime.admin import Health
from towonel.runtime.dns.resolver import Resolver
from towonel.tunnel.link import Link
from towonel.wire.errors import Code, ProtocolError

MAX_FLOWS: Final = 4096
COUNTERS_PER_START: Final = 1 << 44  # of a secret: a million packets a second for half a year
_CHECK: Final = "datagrams"
log: structlog.stdlib.BoundLogger = structlog.get_logger()


class FlowPlane(Control):
    """UDP side of the data plane.

    Args:
        services: of UDP.
        resolver: of the names of origins.
        metrics: what is counted.
        health: says where sealed packets do not pass.
        origin_log: says what origins do wrong.
        start_process: starts the worker.
        carriers: of the workers that have lanes: where those go that carry sealed packets.
    """

    def __init__(
        self,
        services: Collection[Service],
        resolver: Resolver,
        metrics: Metrics,
        health: Health,
        origin_log: OriginLog,
        start_process: StartProcess,
        carriers: OriginFeed,
    ) -> None:
        self._services = services
        self._carriers = carriers
        self._carrier_port = 0
        self._origins = OriginFeed(services, resolver, origin_log, self._tell)
        self._metrics = metrics
        self._health = health
        self._start_process = start_process
        self._links: dict[bytes, Link] = {}
        self._worker: Worker | None = None
        self._starts = 0
        self._tasks: asyncio.TaskGroup | None = None
        self._wanted = asyncio.Event()

    async def run(self) -> None:
        """Run the worker, once an edge has sent a secret."""
        await self._wanted.wait()
        async with (
            asyncio.TaskGroup() as self._tasks,
            supervise(self, self._start_process, SystemRandom()),
        ):
            await asyncio.Event().wait()

    @contextlib.contextmanager
    def hold(self, link: Link) -> Generator[None]:
        """Carry flows of an open link for the time of the block, if its edge has some."""
        session_id = link.session_id

        def take(index: int, secret: bytes) -> None:
            if session_id not in self._links:
                self._links[session_id] = link
                self._tell(Session(session_id, link.address))
            self._tell(SessionSecret(session_id, index, secret))
            self._wanted.set()

        link.observe_secret = take
        for secret in link.secrets:
            take(*secret)
        try:
            yield
        finally:
            if self._links.pop(session_id, None) is not None:
                self._tell(SessionEnded(session_id, None))

    def change(self, services: Collection[Service]) -> None:
        """Serve clients of these services, and of no others."""
        self._services = services
        self._origins.change(services)
        if self._carrier_port:
            self._show_carriers(self._carrier_port)

    def drain(self) -> None:
        """End all flows: edges send their clients elsewhere."""
        self._tell(Drain())

    # The worker.

    @override
    def on_started(self, worker: Worker) -> None:
        self._worker = worker
        self._tell(Start(MAX_FLOWS, self._starts * COUNTERS_PER_START))
        self._starts += 1
        for origins in self._origins.describe():
            self._tell(origins)
        for session_id, link in self._links.items():
            self._tell(Session(session_id, link.address))
            for index, secret in link.secrets:
                self._tell(SessionSecret(session_id, index, secret))

    @override
    def on_message(self, worker: Worker, message: ChannelMessage) -> None:
        match CODEC.decode(message):
            case Ready(port):
                self._show_carriers(port)
            case Counters() as counters:
                self._count(counters)
            case Resolve(service):
                assert self._tasks is not None, "the worker runs"
                self._origins.look_up(service, self._tasks)
            case Refused() as refused:
                self._origins.log(refused)
            case Crashed(traceback):
                log.error("flow.crashed", traceback=traceback)
            case _:
                raise ProtocolError(Code.UNEXPECTED_MESSAGE, "the flow worker does not send this")

    @override
    def on_lost(self, reason: str) -> None:
        self._worker = None
        log.error("flow_worker.lost", reason=reason)
        self._metrics.worker_restarts.inc()
        self._metrics.flows_active.set(0)

    def _tell(self, message: Message, descriptors: Sequence[int] = ()) -> None:
        if self._worker is not None:
            self._worker.send(*CODEC.encode(message), descriptors)

    def _show_carriers(self, port: int) -> None:
        """Let lanes that carry sealed packets go to the worker."""
        self._carrier_port = port
        origin = Origin("127.0.0.1", port, ProxyProtocol.NONE)
        self._carriers.add([Service(each.key, origin) for each in self._services])

    def _count(self, counters: Counters) -> None:
        metrics = self._metrics
        metrics.flows_active.set(counters.active)
        metrics.flows.inc(counters.opened)
        for code, count in counters.ended:
            metrics.flows_ended.labels(Code(code).word).inc(count)
        for reason, count in counters.dropped:
            metrics.datagrams_dropped.labels(reason).inc(count)
        for direction, (count, size) in (
            ("to_origin", counters.to_origin),
            ("to_edge", counters.to_edge),
        ):
            metrics.datagrams.labels(direction).inc(count)
            metrics.carried.labels(direction).inc(size)
        paths = dict(counters.paths)
        for state, count in paths.items():
            metrics.datagram_paths.labels(state).set(count)
        self._show_paths(paths.get(PathState.DOWN.value, 0))

    def _show_paths(self, down: int) -> None:
        reason = f"UDP is blocked to {down} of {len(self._links)} edges: datagrams go over TCP"
        self._health.set_degraded(_CHECK, reason=reason if down else None)
