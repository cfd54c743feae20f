"""Composition root of an agent: links to edges, origins behind them, and the hub."""

import asyncio
import contextlib
import secrets

import structlog

from towonel.agent.core.services import OriginTable
from towonel.agent.links import Links
from towonel.agent.metrics import VERSION, Metrics
from towonel.agent.origin_dialer import OriginDialer
from towonel.agent.origins import Origins
from towonel.agent.reconcile import AgentIdentity, Reconciler
from towonel.agent.settings import AgentSettings
from towonel.agent.timing import DEFAULT_TIMING, Timing
from towonel.client.hub import HubClient
from towonel.identity.keys import SEED_BYTES, NodeKey, TenantKey
from towonel.runtime import admin
from towonel.runtime.admin import Health
from towonel.runtime.resolver import Resolver
from towonel.runtime.settings import SettingsError
from towonel.wire.errors import Denied

log: structlog.stdlib.BoundLogger = structlog.get_logger()


def create_identity(settings: AgentSettings) -> AgentIdentity:
    """Return a new identity of the agent: its own key is new at each start, and never stored."""
    return AgentIdentity(
        settings.invite_token,
        TenantKey.from_seed(settings.invite_token.seed),
        NodeKey.from_seed(secrets.token_bytes(SEED_BYTES)),
        settings.group,
    )


async def serve(
    settings: AgentSettings,
    stopping: asyncio.Event,
    identity: AgentIdentity | None = None,
    timing: Timing = DEFAULT_TIMING,
) -> None:
    """Serve until `stopping`; then take no new streams, and let the open ones end."""
    identity = identity or create_identity(settings)
    health, metrics = Health(), Metrics()
    health.set("edges", ok=False, reason="not linked yet")
    resolver = Resolver()
    origins = _make_origins(settings, resolver, metrics)
    async with (
        _open_client(settings) as hub,
        _serve_health(settings, health, metrics),
        asyncio.TaskGroup() as tasks,
    ):
        log.info("agent.started", agent_id=identity.agent.public.hex(), hub=hub.base_url)
        keys = [service.key for service in settings.services]
        links = Links(tasks, identity.agent, keys, origins, metrics, health, timing.links)
        reconciler = Reconciler(
            hub, identity, settings.services, links, settings.trusted_edges, health, timing.hub
        )
        reconciling = tasks.create_task(reconciler.run())
        await stopping.wait()
        health.start_draining()
        reconciling.cancel()
        await _drain(links, settings.drain_timeout_secs)
    origins.flush_logs()
    log.info("agent.stopped")


def _serve_health(
    settings: AgentSettings, health: Health, metrics: Metrics
) -> contextlib.AbstractAsyncContextManager[int]:
    return admin.serve(
        *settings.health_listen_addr,
        health,
        metrics.registry,
        name="agent",
        version=VERSION,
        variable=settings.variable_of("health_listen_addr"),
        aliases=("/healthz",),
    )


def _make_origins(settings: AgentSettings, resolver: Resolver, metrics: Metrics) -> Origins:
    dialer = OriginDialer(resolver, settings.origin_timeout_secs)
    table = OriginTable(settings.services)
    return Origins(table, dialer, metrics, max_streams=settings.max_streams)


async def _drain(links: Links, timeout_s: float) -> None:
    """Let open streams end, for so many seconds at most, and close the links."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(timeout_s):
            await links.drain()
    links.close()


def _open_client(settings: AgentSettings) -> HubClient:
    try:
        return HubClient(settings.invite_token.hub_url, allow_insecure=settings.allow_insecure_hub)
    except Denied as error:
        raise SettingsError([f"TOWONEL_INVITE_TOKEN: {error.detail}"]) from None
