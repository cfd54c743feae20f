"""Composition root of an edge: what it acquires, in order, and how it drains."""

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncGenerator
from importlib.metadata import version
from random import SystemRandom

import structlog
from prometheus_client import CollectorRegistry

from towonel.api.edges import EdgeRegisterIn
from towonel.client.hub import HubClient
from towonel.edge.core.admission import Admission
from towonel.edge.core.balance import Balancer
from towonel.edge.core.route_table import RouteTable
from towonel.edge.core.traffic import Traffic
from towonel.edge.credentials import EdgeCredentials, load_credentials, to_datetime
from towonel.edge.listeners.accept import Acceptor, accept_clients
from towonel.edge.listeners.sockets import bind_sockets
from towonel.edge.listeners.tls import TlsListener
from towonel.edge.metrics import Metrics
from towonel.edge.own_addresses import find_addresses
from towonel.edge.relays import Relays
from towonel.edge.report_builder import ReportBuilder
from towonel.edge.report_sender import ReportSender, send_reports
from towonel.edge.route_follower import Registration, RouteFollower, RouteStore
from towonel.edge.route_notifications import RedisNotifications
from towonel.edge.session_dialer import SessionDialer
from towonel.edge.sessions import Sessions
from towonel.edge.settings import EdgeSettings
from towonel.edge.snapshot import SNAPSHOT_FILE, SnapshotFile
from towonel.edge.timing import DEFAULT_TIMING, Timing
from towonel.runtime import admin
from towonel.runtime.admin import Health
from towonel.runtime.environment.ports import listen_error
from towonel.runtime.lifecycle import DrainTimedOut
from towonel.tunnel.listener import Listener, listen

log: structlog.stdlib.BoundLogger = structlog.get_logger()

NAME = "towonel-edge"
ALIASES = ("/health", "/healthz")  # what the original answered on
CHECK = "clients"


class Edge:
    """Parts of an edge that hold no resource, wired together."""

    def __init__(self, settings: EdgeSettings, timing: Timing) -> None:
        self.settings = settings
        self.timing = timing
        self.registry = CollectorRegistry()
        self.rng = SystemRandom()
        self.health = Health()
        self.health.set(CHECK, ok=False, reason="not listening yet")
        self.metrics = Metrics(self.registry)
        self.notifications = RedisNotifications(self.health, self.metrics)
        table, balancer = RouteTable(), Balancer()
        self.sessions = Sessions(table, balancer, self.metrics, settings.session_limits)
        traffic = Traffic()
        self.reports = ReportBuilder(self.sessions, traffic, self.metrics, clock=time.monotonic)
        self.relays = Relays(
            table, idle_s=settings.idle_timeout_s, timing=timing.clients, clock=time.monotonic
        )
        file = SnapshotFile(settings.state_folder / SNAPSHOT_FILE)
        self.routes = RouteStore(table, self.sessions, self.relays, file, self.metrics, self.health)
        upstream = SessionDialer(
            self.sessions,
            balancer,
            self.metrics,
            clock=time.monotonic,
            draw=self.rng.randrange,
            open_timeout_s=timing.clients.open_s,
        )
        self.tls = TlsListener(
            table,
            upstream,
            Admission(settings.limits),
            self.metrics,
            relays=self.relays,
            traffic=traffic,
            handshake_timeout_s=settings.handshake_timeout_s,
            linger_s=timing.clients.linger_s,
            proxies=settings.proxies,
        )


async def serve(
    settings: EdgeSettings, stopping: asyncio.Event, timing: Timing = DEFAULT_TIMING
) -> None:
    """Run an edge until `stopping` is set and its connections are done, or their time is over.

    Raises:
        SettingsError: an address cannot be listened on.
        SecretFileError: a key cannot be used.
        DrainTimedOut: some connections had not ended in time.
    """
    edge = Edge(settings, timing)
    credentials = await asyncio.to_thread(_load_credentials, settings)
    sockets = _bind(settings)
    with contextlib.ExitStack() as bound:
        for sock in sockets:
            bound.enter_context(sock)
        await edge.routes.load()
        async with (
            admin.serve(
                *settings.health_listen,
                edge.health,
                edge.registry,
                name=NAME,
                version=version(NAME),
                variable=settings.variable_of("health_listen"),
                aliases=ALIASES,
            ),
            _listen_for_agents(edge, credentials) as agents,
            _follow_hub(edge, credentials, agents.port),
        ):
            cut = await _serve_clients(edge, sockets, agents, stopping)
    log.info("edge.stopped")
    if cut:
        raise DrainTimedOut


@contextlib.asynccontextmanager
async def _listen_for_agents(edge: Edge, credentials: EdgeCredentials) -> AsyncGenerator[Listener]:
    """Take sessions of agents for the time of the block."""
    settings = edge.settings
    host, port = settings.session_address
    listener = listen(
        host,
        port,
        key=credentials.key,
        certificate_pem=credentials.certificate_pem,
        policy=edge.sessions,
        limits=settings.handshake_limits,
    )
    async with contextlib.AsyncExitStack() as stack:
        try:
            agents = await stack.enter_async_context(listener)
        except OSError as error:
            field = "session_listen" if settings.session_listen else "listen"
            variable = settings.variable_of(field)
            raise listen_error(variable, host, port, error) from error
        yield agents


@contextlib.asynccontextmanager
async def _follow_hub(
    edge: Edge, credentials: EdgeCredentials, session_port: int
) -> AsyncGenerator[None]:
    """Follow the hub's routes for the time of the block, and report to it what is live here.

    At the end the routes are on disk, and the hub knows that no session is live here any more.
    """
    settings, timing = edge.settings, edge.timing
    body = EdgeRegisterIn(
        addresses=find_addresses(settings, session_port),
        certificate_pem=credentials.certificate_pem,
        version=version(NAME),
    )
    async with HubClient(settings.hub_url, allow_insecure=settings.allow_insecure_hub) as hub:
        sender = ReportSender(
            hub,
            credentials.key,
            edge.reports,
            edge.sessions.has_ended,
            edge.metrics,
            rng=edge.rng,
            timing=timing.reports,
        )
        follower = RouteFollower(
            hub,
            Registration(credentials.key, body),
            edge.routes,
            edge.notifications,
            edge.metrics,
            edge.health,
            clock=time.monotonic,
            rng=edge.rng,
            timing=timing.routes,
        )
        async with send_reports(sender), _follow_routes(edge, follower):
            yield


@contextlib.asynccontextmanager
async def _follow_routes(edge: Edge, follower: RouteFollower) -> AsyncGenerator[None]:
    """Keep the routes up to date and saved for the time of the block, and save them at its end."""
    redis_url = edge.settings.redis_url
    async with asyncio.TaskGroup() as tasks:
        running = [
            tasks.create_task(follower.follow()),
            tasks.create_task(edge.routes.save_changes(edge.timing.routes.save_pause_s)),
        ]
        if redis_url is not None:
            listening = edge.notifications.listen(redis_url.get_secret_value(), edge.rng)
            running.append(tasks.create_task(listening))
        try:
            yield
        finally:
            for task in running:
                task.cancel()
            await edge.routes.save()


async def _serve_clients(
    edge: Edge, sockets: list[socket.socket], agents: Listener, stopping: asyncio.Event
) -> int:
    """Take clients once there are routes, until the process is to stop; then drain.

    Returns:
        how many connections were cut.
    """
    async with asyncio.TaskGroup() as tasks:
        first = [tasks.create_task(event.wait()) for event in (edge.routes.loaded, stopping)]
        await asyncio.wait(first, return_when=asyncio.FIRST_COMPLETED)
        for waiting in first:
            waiting.cancel()
    if stopping.is_set():
        return 0
    async with (
        edge.relays.watch(),
        accept_clients(sockets, edge.tls.serve, edge.metrics) as clients,
    ):
        edge.health.set(CHECK, ok=True)
        log.info("edge.started", port=clients.port, session_port=agents.port)
        try:
            await stopping.wait()
            return await _drain(edge, clients, agents)
        finally:
            edge.tls.refusals.flush()
            edge.sessions.flush()


async def _drain(edge: Edge, clients: Acceptor, agents: Listener) -> int:
    """Take no more clients, send agents elsewhere, and let connections in flight end."""
    edge.health.start_draining()
    await clients.stop_accepting()
    log.info("edge.listener_closed", connections=clients.in_flight.count)
    try:
        async with asyncio.timeout(edge.settings.drain_timeout_s):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(edge.timing.settle_s):
                    await edge.tls.arriving.wait_idle()
            agents.go_away()
            await clients.in_flight.wait_idle()
    except TimeoutError:
        log.warning("edge.drain_timed_out", connections=clients.in_flight.count)
        return clients.in_flight.count
    return 0


def _load_credentials(settings: EdgeSettings) -> EdgeCredentials:
    now = to_datetime(time.time_ns() // 1_000_000)
    return load_credentials(settings, now)


def _bind(settings: EdgeSettings) -> list[socket.socket]:
    host, port = settings.listen
    try:
        return bind_sockets(host, port, settings.listen_workers)
    except OSError as error:
        raise listen_error(settings.variable_of("listen"), host, port, error) from error
