"""Composition root of an edge: what it acquires, in order, and how it drains."""

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncGenerator
from functools import partial
from importlib.metadata import version
from random import SystemRandom

import structlog
from prometheus_client import CollectorRegistry

from towonel.edge.certificates.records import CertificateRecords
from towonel.edge.certificates.serving import serve_certificates, serve_hub_name
from towonel.edge.core.balance import Balancer
from towonel.edge.core.route_table import RouteTable
from towonel.edge.core.traffic import Traffic
from towonel.edge.credentials import EdgeCredentials, find_hub_proof, load_credentials, read_clock
from towonel.edge.data_plane.binding import bind_for_clients, bind_for_lanes
from towonel.edge.data_plane.control import DataPlane
from towonel.edge.data_plane.start import FLOW_WORKER, WORKER, make_flow_start, make_start
from towonel.edge.data_plane.tcp_sessions import make_session_taker
from towonel.edge.hub_client import follow_hub
from towonel.edge.limits.of_settings import find_handshake_limits, find_session_limits
from towonel.edge.metrics import Metrics
from towonel.edge.plain_http.serving import PlainHttp
from towonel.edge.report_builder import ReportBuilder
from towonel.edge.route_notifications import RedisNotifications
from towonel.edge.route_store import RouteStore
from towonel.edge.sessions import Sessions
from towonel.edge.settings import EdgeSettings
from towonel.edge.snapshot import SNAPSHOT_FILE, SnapshotFile
from towonel.edge.streams.access_log import AccessLogWriter
from towonel.edge.streams.clients import StreamClients
from towonel.edge.streams.refusals import Refusals
from towonel.edge.streams.relays import Relays
from towonel.edge.streams.session_dialer import SessionDialer
from towonel.edge.timing import DEFAULT_TIMING, Timing
from towonel.edge.upgrade.predecessor import Predecessor, find_predecessor
from towonel.edge.upgrade.sockets import make_successors, take_sealed
from towonel.edge.upgrade.successor import Successors
from towonel.identity.signatures import MAX_SKEW_MS
from towonel.relay.hop.choice import Engine
from towonel.relay.hop.modules import choose_modules
from towonel.relay.supervisor import Start as StartWorker
from towonel.runtime import admin
from towonel.runtime.admin import Health
from towonel.runtime.clock.skew import ClockSkew
from towonel.runtime.environment.ports import listen_error
from towonel.runtime.lifecycle import DrainTimedOut, wait_first
from towonel.tunnel.listener import Listener, listen

log: structlog.stdlib.BoundLogger = structlog.get_logger()

NAME = "towonel-edge"
VERSION = version(NAME)
ALIASES = ("/health", "/healthz")  # what the original answered on
CHECK = "clients"


class Edge:
    """Parts of an edge that hold no resource, wired together."""

    def __init__(self, settings: EdgeSettings, timing: Timing) -> None:
        self.settings, self.timing = settings, timing
        self.registry = CollectorRegistry()
        self.rng, self.health = SystemRandom(), Health()
        self.health.set(CHECK, ok=False, reason="not listening yet")
        self.admin = contextlib.AsyncExitStack()
        self.metrics = Metrics(self.registry)
        self.engine = settings.relay_engine
        self.modules = choose_modules(self.engine)
        if self.modules.problem:
            log.warning("engine.stale", reason=self.modules.problem)
        self.metrics.info.labels(VERSION, self.engine.value, settings.region or "").set(1)
        self.clock_skew = ClockSkew("the hub", self.health, self.metrics.clock_skew, MAX_SKEW_MS)
        self.notifications = RedisNotifications(self.health, self.metrics)
        table, balancer, traffic = RouteTable(), Balancer(), Traffic()
        self.sessions = Sessions(table, balancer, self.metrics, find_session_limits(settings))
        self.relays = Relays(
            table, idle_s=settings.idle_timeout_s, timing=timing.clients, clock=time.monotonic
        )
        self.refusals = Refusals(self.metrics, timing.clients.linger_s)
        self.plane = self._make_plane(table, balancer, traffic)
        parts = table, self.sessions, self.metrics
        self.certificates = partial(serve_certificates, self.plane.certificates, settings, *parts)
        self.reports = ReportBuilder(
            self.sessions,
            traffic,
            self.metrics,
            self.plane.live.count_lanes,
            self.plane.ports.describe,
            CertificateRecords(self.plane.certificates, table, self.metrics).collect,
            clock=time.monotonic,
            engine="compiled" if self.engine is Engine.COMPILED else "python",
            skew_of=lambda: self.clock_skew.skew_ms,
        )
        file = SnapshotFile(settings.state_folder / SNAPSHOT_FILE)
        self.routes = RouteStore(table, self.sessions, self.plane, file, self.metrics, self.health)

    def _make_plane(self, table: RouteTable, balancer: Balancer, traffic: Traffic) -> DataPlane:
        access_log = AccessLogWriter(self.metrics, self.settings.access_log_lines)
        clients = self.timing.clients
        upstream = SessionDialer(
            self.sessions,
            balancer,
            self.metrics,
            clock=time.monotonic,
            draw=self.rng.randrange,
            open_timeout_s=clients.open_s,
        )
        reporters = self.metrics, self.refusals, access_log
        self.http = PlainHttp(self.settings, clients, table, upstream, *reporters)
        streams = StreamClients(
            table,
            upstream,
            self.metrics,
            self.refusals,
            access_log,
            relays=self.relays,
            traffic=traffic,
        )
        return DataPlane(
            table,
            self.sessions,
            streams,
            self.relays,
            self.metrics,
            traffic,
            self.refusals,
            access_log,
            self.health,
            self.settings.session_address[0],  # where clients connect, a proxy may be in front
        )

    async def start_admin(self) -> None:
        """Serve health and metrics until `admin` is closed."""
        settings = self.settings
        serving = admin.serve(
            *settings.health_listen,
            self.health,
            self.registry,
            about={"name": NAME, "version": VERSION, "engine": self.engine.value},
            variable=settings.variable_of("health_listen"),
            aliases=ALIASES,
        )
        await self.admin.enter_async_context(serving)


async def serve(
    settings: EdgeSettings,
    stopping: asyncio.Event,
    timing: Timing = DEFAULT_TIMING,
    start_worker: StartWorker | None = None,
) -> None:
    """Run an edge until `stopping` is set and its connections are done, or their time is over.

    `start_worker` starts a process that carries the bytes of clients, if not by exec.

    Raises:
        SettingsError: an address cannot be listened on.
        SecretFileError: a key cannot be used.
        DrainTimedOut: some connections had not ended in time.
    """
    edge = Edge(settings, timing)
    credentials = await asyncio.to_thread(load_credentials, settings, read_clock())
    start = make_start(settings, credentials, timing)
    edge.plane.flows.limits = make_flow_start(settings, timing)
    edge.plane.flows.start_worker = edge.modules.exec_worker(FLOW_WORKER)
    predecessor = await find_predecessor(settings.state_folder) if settings.upgrade else None
    edge.reports.is_silent = predecessor is not None
    clients = bind_for_clients(settings) if predecessor is None else predecessor.clients
    proof = find_hub_proof(settings, credentials)
    with clients as sock, edge.http.bind():
        await edge.routes.load()
        async with edge.admin:
            if predecessor is None:
                await edge.start_admin()
            async with (
                _listen_for_agents(edge, credentials, predecessor) as agents,
                follow_hub(edge, credentials, agents.port),
                edge.certificates(),
                edge.plane.hub.follow(settings.hub_route, proof),
                edge.plane.run(start, start_worker or edge.modules.exec_worker(WORKER), edge.rng),
            ):
                cut = await _serve_clients(edge, sock, agents, stopping, predecessor)
    log.info("edge.stopped")
    if cut:
        raise DrainTimedOut


@contextlib.asynccontextmanager
async def _listen_for_agents(
    edge: Edge, credentials: EdgeCredentials, predecessor: Predecessor | None
) -> AsyncGenerator[Listener]:
    """Take sessions of agents for the time of the block."""
    settings = edge.settings
    host, port = settings.session_address
    listener = listen(
        host,
        port,
        key=credentials.key,
        certificate_pem=credentials.certificate_pem,
        policy=edge.sessions,
        limits=find_handshake_limits(settings),
        inherited=None if predecessor is None else predecessor.sessions,
    )
    async with contextlib.AsyncExitStack() as stack:
        if predecessor is not None:
            stack.callback(predecessor.close)
        try:
            agents = await stack.enter_async_context(listener)
        except OSError as error:
            field = "session_listen" if settings.session_listen else "listen"
            variable = settings.variable_of(field)
            raise listen_error(variable, host, port, error) from error
        edge.plane.take_session = make_session_taker(credentials, agents)
        edge.plane.flows.sealed = take_sealed(host, agents, predecessor)
        stack.callback(edge.plane.flows.close)
        yield agents


async def _serve_clients(
    edge: Edge,
    sock: socket.socket,
    agents: Listener,
    stopping: asyncio.Event,
    predecessor: Predecessor | None,
) -> int:
    """Take clients once there are routes and workers, until the process is to stop; then drain.

    Returns:
        how many connections were cut.
    """
    for event in (edge.routes.loaded, edge.plane.ready):
        await wait_first(event, stopping)
    if stopping.is_set():
        return 0
    lanes = await _take_over(edge, agents, predecessor)
    if lanes is None:
        lanes = bind_for_lanes(edge.settings, sock, agents.port)
    plane = edge.plane
    async with edge.relays.watch(), edge.http.run():
        plane.listen([sock], lanes)
        serve_hub_name(plane.certificates, edge.settings)
        edge.health.set(CHECK, ok=True)
        ports = {"port": sock.getsockname()[1], "session_port": agents.port}
        log.info("edge.started", **ports, engine=edge.engine.value, modules=edge.modules.count)
        successors = make_successors(edge.settings.state_folder, agents, plane)
        with contextlib.closing(successors):
            try:
                await wait_first(stopping, successors.is_ready)
                return await _drain(edge, agents, successors)
            finally:
                edge.refusals.flush()
                edge.sessions.flush()


async def _take_over(
    edge: Edge, agents: Listener, predecessor: Predecessor | None
) -> list[socket.socket] | None:
    """Take the place of the process that this one replaces, and return the sockets of lanes."""
    if predecessor is None:
        return None
    await predecessor.replace(agents, edge.sessions.all)
    edge.plane.ports.inherited |= predecessor.take_ports()
    edge.plane.flows.ports.inherited |= predecessor.take_udp_ports()
    edge.reports.is_silent = False
    await edge.start_admin()
    return predecessor.lanes


async def _drain(edge: Edge, agents: Listener, successors: Successors) -> int:
    """Take no more clients, send agents elsewhere, and let connections in flight end."""
    is_replaced = successors.is_ready.is_set()
    edge.health.start_draining()
    plane = edge.plane
    await plane.stop_accepting()
    log.info("edge.listener_closed", connections=plane.active)
    try:
        async with asyncio.timeout(edge.settings.drain_timeout_s):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(edge.timing.settle_s):
                    await plane.wait_settled()
            agents.go_away()
            if is_replaced:
                edge.reports.is_silent = True
                await edge.admin.aclose()  # whose port the successor takes
                successors.hand_over()
            await plane.wait_idle()
    except TimeoutError:
        log.warning("edge.drain_timed_out", connections=plane.active)
        return plane.active
    return 0
