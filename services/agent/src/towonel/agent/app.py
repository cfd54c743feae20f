"""Composition root of an agent: links to edges, origins behind them, and the hub."""

import asyncio
import contextlib
from functools import partial
from typing import Final

import structlog

from towonel.agent.checks.probe import OriginProbe
from towonel.agent.checks.public_certificates import PublicCertificates
from towonel.agent.checks.runner import OriginChecks
from towonel.agent.configuration.settings_watch import ReadSettings, watch_settings
from towonel.agent.core.services import select_flows, select_streams, tabulate_origins
from towonel.agent.data_plane.client_memory import ClientMemory
from towonel.agent.data_plane.flow_plane import FlowPlane
from towonel.agent.data_plane.lane_metrics import LaneMetrics
from towonel.agent.data_plane.lanes import Lanes
from towonel.agent.data_plane.start import make_start
from towonel.agent.links import Links
from towonel.agent.metrics import VERSION, Metrics
from towonel.agent.origin_dialer import OriginDialer
from towonel.agent.origin_log import OriginLog
from towonel.agent.origins import Origins
from towonel.agent.publishing.publisher import Publisher
from towonel.agent.reconcile import AgentIdentity, Reconciler, create_identity
from towonel.agent.serving import serve_services
from towonel.agent.settings import AgentSettings, LaneMode
from towonel.agent.timing import DEFAULT_TIMING, Timing
from towonel.client.hub import HubClient
from towonel.identity.signatures import MAX_SKEW_MS
from towonel.relay.core.lane_kinds import LaneKind
from towonel.relay.hop.modules import choose_modules
from towonel.relay.supervisor import Start as StartWorker
from towonel.runtime import admin
from towonel.runtime.admin import Health
from towonel.runtime.clock.skew import ClockSkew
from towonel.runtime.dns.resolver import Resolver
from towonel.runtime.lifecycle import DrainTimedOut
from towonel.runtime.settings import SettingsError
from towonel.wire.errors import Denied

_KINDS: Final = {
    LaneMode.AUTO: (LaneKind.PLAIN, LaneKind.TLS),
    LaneMode.TLS: (LaneKind.TLS,),  # and never a plain one
    LaneMode.OFF: (),
}
log: structlog.stdlib.BoundLogger = structlog.get_logger()


class Agent:
    """Parts of an agent that hold no resource but the memory of its clients' counts, wired together."""

    def __init__(
        self,
        settings: AgentSettings,
        identity: AgentIdentity,
        timing: Timing,
        clients: ClientMemory,
        start_worker: StartWorker | None,
    ) -> None:
        self.settings = settings
        self.identity = identity
        self.health = Health()
        self.health.set("edges", ok=False, reason="not linked yet")
        self.metrics = Metrics()
        self.metrics.info.labels(VERSION, settings.relay_engine.value).set(1)
        self.modules = choose_modules(settings.relay_engine)
        self.resolver = Resolver()
        origin_log = OriginLog()
        start = start_worker or self.modules.exec_worker("towonel.agent.worker")
        self.lanes = self._make_lanes(origin_log, clients, start)
        self.flows = self._make_flows(origin_log)
        dialer = OriginDialer(self.resolver, settings.origin_timeout_secs)
        self.checks = self._make_checks(dialer)
        self.public = self._make_public(dialer, timing)
        self.origins = Origins(
            tabulate_origins(settings.all_services),
            dialer,
            self.metrics,
            origin_log,
            max_streams=settings.max_streams,
            counts=clients.counts,
            timing=timing.origins,
        )

    def _make_lanes(
        self, origin_log: OriginLog, clients: ClientMemory, start_worker: StartWorker
    ) -> Lanes:
        return Lanes(
            select_streams(self.settings.all_services),
            make_start(self.settings),
            self.resolver,
            LaneMetrics(self.metrics),
            self.health,
            origin_log,
            clients,
            kinds=_KINDS[self.settings.lanes],
            start_process=start_worker,
        )

    def _make_checks(self, dialer: OriginDialer) -> OriginChecks:
        return OriginChecks(
            self.settings.all_services,
            self.settings.weight,
            OriginProbe(dialer),
            self.health,
            self.metrics,
        )

    def _make_public(self, dialer: OriginDialer, timing: Timing) -> PublicCertificates:
        return PublicCertificates(
            self.settings.publicly_verified,
            self.settings.verify_public_port,
            dialer,
            self.health,
            self.metrics,
            timing.public,
        )

    def _make_flows(self, origin_log: OriginLog) -> FlowPlane:
        return FlowPlane(
            select_flows(self.settings.all_services),
            self.resolver,
            self.metrics,
            self.health,
            origin_log,
            self.modules.exec_worker("towonel.agent.flows"),
            self.lanes.origins,
        )


async def serve(
    settings: AgentSettings,
    stopping: asyncio.Event,
    identity: AgentIdentity | None = None,
    timing: Timing = DEFAULT_TIMING,
    start_worker: StartWorker | None = None,
    read: ReadSettings | None = None,
) -> None:
    """Serve until `stopping`; then take no new streams, and let the open ones end.

    `start_worker` starts the process that carries the bytes of clients, if not by exec. `read` reads the
    settings again, where they may change meanwhile.

    Raises:
        DrainTimedOut: some had not ended in time.
    """
    identity = identity or create_identity(settings.invite_token, settings.group)
    with contextlib.closing(ClientMemory(settings.workers)) as clients:
        agent = Agent(settings, identity, timing, clients, start_worker)
        await _serve(agent, stopping, timing, read)


async def _serve(
    agent: Agent, stopping: asyncio.Event, timing: Timing, read: ReadSettings | None
) -> None:
    settings = agent.settings
    if agent.modules.problem:
        log.warning("engine.stale", reason=agent.modules.problem)
    async with _open_client(settings) as hub, _serve_health(agent):
        clock = ClockSkew("the hub", agent.health, agent.metrics.clock_skew, MAX_SKEW_MS)
        hub.observe_skew(clock.record)
        log.info(
            "agent.started",
            agent_id=agent.identity.agent.public.hex(),
            hub=hub.base_url,
            engine=agent.settings.relay_engine.value,
            modules=agent.modules.count,
        )
        cut = await _serve_clients(agent, hub, stopping, timing, read)
    agent.origins.flush_logs()
    log.info("agent.stopped")
    if cut:
        raise DrainTimedOut


async def _serve_clients(
    agent: Agent,
    hub: HubClient,
    stopping: asyncio.Event,
    timing: Timing,
    read: ReadSettings | None,
) -> int:
    """Link to the hub's edges until the process is to stop; then drain.

    Returns:
        how many streams were cut.
    """
    settings, health = agent.settings, agent.health
    async with asyncio.TaskGroup() as tasks:
        links = _make_links(agent, tasks, timing)
        publisher = _make_publisher(agent, hub, links)
        reconciler = Reconciler(
            hub,
            agent.identity,
            publisher,
            links,
            settings.edge_choice,
            health,
            timing.hub,
            lambda: agent.public.mismatches,
        )
        reconciling = tasks.create_task(reconciler.run())
        relaying = tasks.create_task(_relay(agent))
        change = partial(_change_settings, agent, publisher, links)
        watching = tasks.create_task(watch_settings(settings, change, read, health))
        await stopping.wait()
        health.start_draining()
        reconciling.cancel()
        watching.cancel()
        cut = await _drain(links, agent, settings.drain_timeout_secs)
        relaying.cancel()
    await reconciler.leave()
    return cut


async def _relay(agent: Agent) -> None:
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(agent.origins.watch.run())
        tasks.create_task(agent.lanes.run())
        tasks.create_task(agent.flows.run())
        tasks.create_task(agent.checks.run())
        tasks.create_task(agent.public.run())


def _change_settings(
    agent: Agent, publisher: Publisher, links: Links, settings: AgentSettings
) -> None:
    agent.checks.change_weight(settings.weight)
    agent.public.change(settings.publicly_verified)
    publisher.change(settings.all_services)
    links.is_outdated.set()  # the reconciler asks the hub, and publishes


def _make_links(agent: Agent, tasks: asyncio.TaskGroup, timing: Timing) -> Links:
    settings = agent.settings
    links = Links(
        tasks,
        agent.identity.agent,
        tuple(service.key for service in settings.all_services),
        agent.origins,
        agent.lanes,
        agent.flows,
        agent.resolver,
        agent.metrics,
        agent.health,
        timing.links,
        f"towonel-agent/{VERSION} ({settings.relay_engine})",
        agent.checks.hints,
    )
    agent.checks.observe = links.change_hints
    agent.public.observe = links.is_outdated.set  # the reconciler tells the hub
    return links


def _make_publisher(agent: Agent, hub: HubClient, links: Links) -> Publisher:
    identity = agent.identity
    return Publisher(
        hub,
        identity.tenant,
        identity.agent.public,
        identity.group,
        agent.settings.all_services,
        partial(serve_services, agent.origins, agent.lanes, agent.flows, agent.checks, links),
        agent.health,
        agent.metrics,
    )


def _serve_health(agent: Agent) -> contextlib.AbstractAsyncContextManager[int]:
    settings = agent.settings
    return admin.serve(
        *settings.health_listen_addr,
        agent.health,
        agent.metrics.registry,
        about={"name": "agent", "version": VERSION, "engine": settings.relay_engine.value},
        variable=settings.variable_of("health_listen_addr"),
        aliases=("/healthz",),
    )


async def _drain(links: Links, agent: Agent, timeout_s: float) -> int:
    """Let clients end, for so many seconds at most; close the links, and return how many it cut."""
    cut = 0
    try:
        async with asyncio.timeout(timeout_s):
            await links.drain()
    except TimeoutError:
        cut = agent.origins.in_flight.count + agent.lanes.active
        log.warning("agent.drain_timed_out", streams=cut, drain_s=timeout_s)
    links.close()
    return cut


def _open_client(settings: AgentSettings) -> HubClient:
    try:
        return HubClient(settings.invite_token.hub_url, allow_insecure=settings.allow_insecure_hub)
    except Denied as error:
        raise SettingsError([f"TOWONEL_INVITE_TOKEN: {error.detail}"]) from None
