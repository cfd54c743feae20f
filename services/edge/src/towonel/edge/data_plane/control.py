"""Data plane of an edge, as control sees it: workers, what they are to know, and how they drain."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncGenerator, Callable, Collection, Iterable
from dataclasses import replace
from functools import partial
from itertools import chain
from random import Random

import structlog

from towonel.edge.certificates.arrivals import AgentArrivals
from towonel.edge.certificates.store import CertificateStore
from towonel.edge.core.route_table import RouteTable
from towonel.edge.core.traffic import Traffic
from towonel.edge.data_plane.flow_plane import FlowPlane
from towonel.edge.data_plane.hub_feed import HubFeed
from towonel.edge.data_plane.index_failures import IndexFailures
from towonel.edge.data_plane.port_listeners import RETRY_S, PortListeners
from towonel.edge.data_plane.route_feed import RouteFeed
from towonel.edge.data_plane.session_feed import SessionFeed
from towonel.edge.data_plane.shared_memory import SharedMemory
from towonel.edge.data_plane.sockets import BACKLOG, listen_on_port, take_waiting
from towonel.edge.data_plane.tcp_sessions import TakeSession
from towonel.edge.data_plane.worker_link import WorkerLink
from towonel.edge.metrics import Metrics
from towonel.edge.sessions import Sessions
from towonel.edge.streams.access_log import AccessLogWriter
from towonel.edge.streams.clients import HandedOverClient, StreamClients
from towonel.edge.streams.refusals import Refusals
from towonel.edge.streams.relays import Relays
from towonel.edge.worker.messages import CarrierOffered, Listen, Message, PortClosed, Settled, Start
from towonel.relay.supervisor import Start as StartWorker
from towonel.relay.supervisor import supervise
from towonel.relay.worker_monitor import WorkerMonitor
from towonel.runtime.admin import Health
from towonel.tunnel.core.events import LanesRequested
from towonel.wire.names import ServiceKind
from towonel.wire.routes import RouteDelta

log: structlog.stdlib.BoundLogger = structlog.get_logger()


class DataPlane:
    """Data plane: the workers of an edge.

    Args:
        table: the routes.
        sessions: of agents.
        streams: serves clients that workers hand over.
        relays: of these clients.
        metrics: what is counted.
        traffic: what is counted for each tenant.
        refusals: writes lines about refused clients.
        access_log: writes lines about clients that have ended, where that is on.
        health: says whether workers keep ending; while all do, the edge is not ready.
        host: address where TCP services are listened for.

    Attributes:
        take_session: takes connections that begin a session over TCP.
        clients, lanes: sockets that listen.
        ports, flows: listeners of TCP services, and flows of clients of UDP services.
        links, index_failures: to its workers, and to make or map an index of routes for them.
        shared: what workers share, once they run.
        live, certificates, hub: what workers are told of sessions, to end clients' TLS with, and of the hub's own name.
        is_draining: whether no client is accepted any more.
        drain_changed: set where it is to be looked again how far a drain is.
        ready: set while every worker has what it needs to serve clients.
    """

    shared: SharedMemory

    def __init__(
        self,
        table: RouteTable,
        sessions: Sessions,
        streams: StreamClients,
        relays: Relays,
        metrics: Metrics,
        traffic: Traffic,
        refusals: Refusals,
        access_log: AccessLogWriter,
        health: Health,
        host: str,
    ) -> None:
        self.metrics = metrics
        self.traffic = traffic
        self.refusals = refusals
        self.access_log = access_log
        self._health = health
        self.ready = asyncio.Event()
        self.take_session: TakeSession | None = None
        self._streams = streams
        self._relays = relays
        self.index_failures = IndexFailures(metrics)
        self._feed = RouteFeed(table, lambda: self.links, self.index_failures)
        bind, hooks = partial(listen_on_port, host), (self._open_port, self._close_port)
        self.ports = PortListeners(ServiceKind.TCP, table, bind, *hooks, metrics)
        self.flows = FlowPlane(table, sessions, metrics, traffic, refusals, host, self._carry)
        self.links: list[WorkerLink] = []
        self._start: Start | None = None
        self.clients, self.lanes = list[socket.socket](), list[socket.socket]()
        self._tasks: asyncio.TaskGroup | None = None
        self._serving: set[asyncio.Task[None]] = set()
        self.is_draining = False
        self.drain_changed = asyncio.Event()
        self.live = SessionFeed(self.tell, self._forget)
        self.certificates, self.hub = CertificateStore(self.tell), HubFeed(self.tell)
        sessions.observers.extend((self.live, self.flows, AgentArrivals(self.certificates)))

    @contextlib.asynccontextmanager
    async def run(
        self, start: Start, start_worker: StartWorker, rng: Random
    ) -> AsyncGenerator[None]:
        """Run the workers for the time of the block; clients that are left at its end are cut."""
        self._start = start
        monitor = WorkerMonitor(self._health, start.workers, are_needed=True)
        self.metrics.workers_unstable.set_function(lambda: monitor.unstable)
        self.links = [WorkerLink(self, number, monitor) for number in range(start.workers)]
        self.shared = SharedMemory(start)
        self.live.share(self.shared)
        self.flows.shared = self.shared
        self._streams.bandwidth.share(self.shared.limits)
        async with (
            contextlib.AsyncExitStack() as shared,
            asyncio.TaskGroup() as tasks,
            contextlib.AsyncExitStack() as workers,
        ):
            shared.callback(monitor.close)
            shared.callback(self.shared.close)
            shared.callback(self._feed.close)
            self._tasks = tasks
            for work in (self._feed.run(), self.ports.retry(RETRY_S), self.flows.run(rng)):
                self._serving.add(tasks.create_task(work))
            workers.callback(
                self._cut
            )  # after the last worker, which hands clients over to its end
            for link in self.links:
                await workers.enter_async_context(supervise(link, start_worker, rng))
            yield

    def listen(self, clients: Iterable[socket.socket], lanes: Iterable[socket.socket] = ()) -> None:
        """Listen on bound sockets, which are owned by this from now on, and let workers accept."""
        self.clients.extend(clients)
        self.lanes.extend(lanes)
        for sock in (*self.clients, *self.lanes):
            sock.listen(BACKLOG)
        for link in self.links:
            self._let_listen(link)
        self.ports.listen()
        self.flows.ports.listen()

    # What workers are to know.

    def feed_state(self, link: WorkerLink) -> None:
        """Send a worker that has started all that it needs."""
        assert self._start is not None, "workers run"
        link.send(replace(self._start, number=link.number), [self.shared.duplicate()])
        state = self.live.describe_all(), self.certificates.describe(), self.hub.describe()
        for message in chain(*state):
            link.send(message)
        self._feed.feed(link)

    def check_ready(self, link: WorkerLink) -> None:
        """Let a worker accept once it has what it needs."""
        if not link.is_ready:
            return
        if self.is_draining:
            link.drain()
        else:
            self._let_listen(link)
        if all(each.is_ready for each in self.links):
            self.ready.set()

    def change_routes(self, delta: RouteDelta, changed: Collection[str]) -> None:
        """Tell the workers of a change, and end clients on streams whose route went."""
        self._relays.recheck(changed)
        self._feed.send(delta)
        self._change_listeners(delta)

    async def replace_routes(self, delta: RouteDelta) -> None:
        """Bring a change of many routes into the table, for workers as well; it changes nothing else.

        Raises:
            OSError: as of `RouteFeed.replace`.
        """
        await self._feed.replace(delta)
        self._relays.recheck_all()
        self._change_listeners(delta)

    def _change_listeners(self, delta: RouteDelta) -> None:
        for each in (self.ports, self.flows, self.certificates):
            each.change(delta)

    def tell(self, message: Message) -> None:
        """Send a message to every worker there is; one that starts later is sent the state."""
        for link in self.links:
            link.send(message)

    def _forget(self, pool_id: bytes) -> None:
        for link in self.links:
            link.wanted.pop(pool_id, None)

    def _let_listen(self, link: WorkerLink) -> None:
        if link.is_ready:
            for sock in self.clients:
                link.listen(sock, Listen())
            for sock in self.lanes:
                link.listen(sock, Listen(lanes_only=True))
            for port, sock in self.ports.sockets.items():
                link.listen(sock, Listen(port=port))

    def _open_port(self, port: int, sock: socket.socket) -> None:
        for link in self.links:
            if link.is_ready:
                link.listen(sock, Listen(port=port))

    def _close_port(self, port: int) -> None:
        self.tell(PortClosed(port))

    # What workers say.

    def serve(self, client: HandedOverClient, report_end: Callable[[], None]) -> None:
        """Serve a client by a stream; its worker is told when it has ended."""
        assert self._tasks is not None, "workers run"
        task = self._tasks.create_task(self._streams.serve(client))
        self._serving.add(task)

        def end(task: asyncio.Task[None]) -> None:
            client.sock.close()  # here, because a task that is cancelled early never gets to run
            self._serving.discard(task)
            report_end()

        task.add_done_callback(end)

    def _carry(self, session_id: bytes, port: int, descriptor: int) -> None:
        """Let a worker have a lane for a connection of the flow worker."""
        link = next((each for each in self.links if each.is_ready), self.links[0])
        link.carry(CarrierOffered(session_id, port), descriptor)

    def want_lanes(self, pool_id: bytes) -> None:
        """Tell an agent how many lanes of a pool all workers together want."""
        found = self.live.find_pool(pool_id)
        if found is not None:
            session, inside_tls = found
            wanted = sum(link.wanted.get(pool_id, 0) for link in self.links)
            session.channel.request(LanesRequested(wanted, inside_tls))

    # How they drain.

    async def stop_accepting(self) -> None:
        """Let workers take what waits for them, and accept no more."""
        self.is_draining = True
        for link in self.links:
            link.drain()
        await self._wait_drain(lambda link: link.draining is not None)
        waiting = [(None, take_waiting(bound)) for bound in self.clients]
        for bound in self.lanes:
            bound.close()
        self.flows.stop()
        self.clients.clear()
        self.lanes.clear()
        ready = [link for link in self.links if link.is_ready]
        for port, sockets in (*waiting, *self.ports.stop()):
            (ready or self.links)[0].accept(sockets, port)

    async def wait_settled(self) -> None:
        """Wait until no client is choosing a session any more, or stop waiting: idle lanes are closed."""
        try:
            await self._streams.arriving.wait_idle()
            await self._wait_drain(lambda link: link.is_settled)
        finally:
            self.tell(Settled())

    async def wait_idle(self) -> None:
        """Wait until the last client has ended."""
        await self._wait_drain(lambda link: link.is_idle)

    def _cut(self) -> None:
        for task in self._serving:
            task.cancel()

    def close(self) -> None:
        """Close the listening sockets."""
        for sock in (*self.clients, *self.lanes):
            sock.close()
        self.ports.close()
        self.flows.close()

    @property
    def active(self) -> int:
        """Clients now."""
        return sum(link.active for link in self.links)

    async def _wait_drain(self, is_done: Callable[[WorkerLink], bool]) -> None:
        while not all(map(is_done, self.links)):
            self.drain_changed.clear()
            await self.drain_changed.wait()
