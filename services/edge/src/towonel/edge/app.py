"""An edge, whole: what it acquires, in order, and how it ends."""

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
from towonel.edge.core.table import RouteTable
from towonel.edge.core.traffic import Traffic
from towonel.edge.identity import EdgeCredentials, load_credentials, to_datetime
from towonel.edge.listeners.accept import Acceptor, accept_clients
from towonel.edge.listeners.sockets import bind_sockets
from towonel.edge.listeners.tls import TlsListener
from towonel.edge.metrics import Metrics
from towonel.edge.report_builder import ReportBuilder
from towonel.edge.report_sender import ReportSender, send_reports
from towonel.edge.route_notifications import RedisNotifications
from towonel.edge.routes import Registration, RouteFollower, RouteStore
from towonel.edge.session_dialer import SessionDialer
from towonel.edge.sessions import Sessions
from towonel.edge.settings import EdgeSettings
from towonel.edge.snapshot import SNAPSHOT_FILE, SnapshotFile
from towonel.runtime import admin
from towonel.runtime.admin import Health
from towonel.runtime.settings import SettingsError
from towonel.tunnel.listener import Listener, listen

log: structlog.stdlib.BoundLogger = structlog.get_logger()

NAME = "towonel-edge"
ALIASES = ("/health", "/healthz")  # what the original answered on
SETTLE_S = 2.0  # clients that are choosing a session get this long before agents are told to leave
CHECK = "clients"


class Edge:
    """The parts of an edge that hold no resource, wired together."""

    def __init__(self, settings: EdgeSettings) -> None:
        self.settings = settings
        self.registry = CollectorRegistry()
        self.rng = SystemRandom()
        self.health = Health()
        self.health.set(CHECK, ok=False, reason="not listening yet")
        self.metrics = Metrics(self.registry)
        self.doorbell = RedisNotifications()
        table, balance = RouteTable(), Balancer()
        self.sessions = Sessions(table, balance, self.metrics)
        traffic = Traffic()
        self.observer = ReportBuilder(self.sessions, traffic, self.metrics, clock=time.monotonic)
        file = SnapshotFile(settings.state_folder / SNAPSHOT_FILE)
        self.routes = RouteStore(table, self.sessions, file, self.metrics, self.health)
        ways = SessionDialer(
            self.sessions, balance, self.metrics, clock=time.monotonic, draw=self.rng.randrange
        )
        self.tls = TlsListener(
            table,
            ways,
            Admission(settings.limits),
            self.metrics,
            traffic=traffic,
            handshake_timeout_s=settings.handshake_timeout_s,
            proxies=settings.proxies,
        )


async def serve(settings: EdgeSettings, stopping: asyncio.Event) -> None:
    """Run an edge until `stopping` is set and its connections are done, or their time is over.

    Raises:
        SettingsError: an address cannot be listened on.
        SecretFileError: a key cannot be used.
    """
    edge = Edge(settings)
    identity = await asyncio.to_thread(_identity, settings)
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
                aliases=ALIASES,
            ),
            listening(settings, identity, edge) as agents,
            following(settings, identity, edge, agents.port),
        ):
            await _serve_clients(edge, sockets, agents, stopping)
    log.info("edge.stopped")


@contextlib.asynccontextmanager
async def listening(
    settings: EdgeSettings, identity: EdgeCredentials, edge: Edge
) -> AsyncGenerator[Listener]:
    """Take sessions of agents for the time of the block."""
    host, port = settings.session_listen or settings.listen
    listener = listen(
        host,
        port,
        key=identity.key,
        certificate_pem=identity.certificate_pem,
        policy=edge.sessions,
    )
    async with contextlib.AsyncExitStack() as stack:
        try:
            agents = await stack.enter_async_context(listener)
        except OSError as error:
            raise _cannot_listen(host, port, error) from error
        yield agents


@contextlib.asynccontextmanager
async def following(
    settings: EdgeSettings, identity: EdgeCredentials, edge: Edge, session_port: int
) -> AsyncGenerator[None]:
    """Follow the hub's routes for the time of the block, and tell it what is live here.

    In the end the routes are on disk, and the hub knows that nothing is live here any more.
    """
    body = EdgeRegisterIn(
        addresses=settings.advertised(session_port),
        certificate_pem=identity.certificate_pem,
        version=version(NAME),
    )
    async with (
        HubClient(settings.hub_url, allow_insecure=settings.allow_insecure_hub) as hub,
        send_reports(ReportSender(hub, identity.key, edge.observer, edge.metrics, rng=edge.rng)),
        asyncio.TaskGroup() as tasks,
    ):
        feed = RouteFollower(
            hub,
            Registration(identity.key, body),
            edge.routes,
            edge.doorbell,
            edge.metrics,
            clock=time.monotonic,
            rng=edge.rng,
        )
        followers = [
            tasks.create_task(feed.follow()),
            tasks.create_task(edge.routes.save_changes()),
        ]
        if settings.redis_url is not None:
            url = settings.redis_url.get_secret_value()
            followers.append(tasks.create_task(edge.doorbell.listen(url, edge.rng)))
        try:
            yield
        finally:
            for follower in followers:
                follower.cancel()
            await edge.routes.save()


async def _serve_clients(
    edge: Edge, sockets: list[socket.socket], agents: Listener, stopping: asyncio.Event
) -> None:
    """Take clients once there are routes, for as long as nobody says stop; then drain."""
    async with asyncio.TaskGroup() as tasks:
        first = [tasks.create_task(event.wait()) for event in (edge.routes.loaded, stopping)]
        await asyncio.wait(first, return_when=asyncio.FIRST_COMPLETED)
        for waiting in first:
            waiting.cancel()
    if stopping.is_set():
        return
    async with accept_clients(sockets, edge.tls.serve, edge.metrics) as clients:
        edge.health.set(CHECK, ok=True)
        log.info("edge.listening", port=clients.port, session_port=agents.port)
        await stopping.wait()
        await _drain(edge, clients, agents)


async def _drain(edge: Edge, clients: Acceptor, agents: Listener) -> None:
    """Take no more clients, send agents elsewhere, and let what is under way come to its end."""
    edge.health.start_draining()
    await clients.stop_accepting()
    log.info("edge.listener_closed", connections=clients.in_flight.count)
    try:
        async with asyncio.timeout(edge.settings.drain_timeout_s):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(SETTLE_S):
                    await edge.tls.arriving.wait_idle()
            agents.go_away()
            await clients.in_flight.wait_idle()
    except TimeoutError:
        log.warning("edge.drain_timed_out", connections=clients.in_flight.count)


def _identity(settings: EdgeSettings) -> EdgeCredentials:
    now = to_datetime(time.time_ns() // 1_000_000)
    return load_credentials(settings.token, settings.identity_key_path, settings.state_folder, now)


def _bind(settings: EdgeSettings) -> list[socket.socket]:
    host, port = settings.listen
    try:
        return bind_sockets(host, port, settings.listen_workers)
    except OSError as error:
        raise _cannot_listen(host, port, error) from error


def _cannot_listen(host: str, port: int, error: OSError) -> SettingsError:
    return SettingsError([f"cannot listen on {host}:{port}: {error.strerror or error}"])
