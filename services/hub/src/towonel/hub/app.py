"""The hub, whole: keys, database, memory, bell, API and what is done meanwhile."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator

import structlog
from sqlalchemy.exc import DatabaseError, InterfaceError

from towonel.hub import chores
from towonel.hub.api.application import create_app
from towonel.hub.api.state import Hub, Policy, wall_clock_ms
from towonel.hub.core.limits import Rate
from towonel.hub.core.ports import PortRules
from towonel.hub.core.quotas import Quotas
from towonel.hub.directory import Directory
from towonel.hub.feed import bell, redis_client
from towonel.hub.keys import load_keys
from towonel.hub.limits import limiter
from towonel.hub.livestate import LiveState
from towonel.hub.metrics import VERSION
from towonel.hub.redaction import SECRET_MARKS
from towonel.hub.settings import HubSettings
from towonel.hub.store.declared import declare
from towonel.hub.store.migrate import upgrade
from towonel.hub.store.retention import Retention
from towonel.hub.store.session import Store
from towonel.hub.store.tracing import trace_queries
from towonel.runtime import admin
from towonel.runtime.admin import Health
from towonel.runtime.settings import SettingsError
from towonel.runtime.telemetry import tracing
from towonel.runtime.web import serve_app
from towonel.wire.errors import Denied

BURST_S = 10  # of requests that a key may make at once, at its rate
log: structlog.stdlib.BoundLogger = structlog.get_logger()


async def serve(settings: HubSettings, stopping: asyncio.Event) -> None:
    """Run the hub until `stopping`; requests in flight finish, waiting edges are let go.

    Raises:
        SettingsError: where an address or the database cannot be had.
        SecretFileError: where a key's file cannot be used.
    """
    health = Health()
    health.set("api", ok=False)
    async with (
        _hub(settings) as hub,
        admin.serve(
            *settings.health_listen_addr, health, hub.metrics.registry, name="hub", version=VERSION
        ),
        serve_app(
            create_app(hub), *settings.listen_addr, drain_s=settings.drain_timeout_secs
        ) as port,
        asyncio.TaskGroup() as tasks,
    ):
        retention = Retention(settings.audit_retention_days)
        meanwhile = tasks.create_task(chores.run(hub, health, retention))
        health.set("api", ok=True)
        log.info("hub.ready", port=port, node_id=hub.keys.node.public.hex(), url=settings.url)
        if settings.public_url is None:
            log.warning("hub.for_this_machine_only", unset="TOWONEL_HUB_PUBLIC_URL")
        await stopping.wait()
        health.draining()
        meanwhile.cancel()
        hub.bell.close()
    log.info("hub.stopped")


@contextlib.asynccontextmanager
async def _hub(settings: HubSettings) -> AsyncGenerator[Hub]:
    keys = await asyncio.to_thread(load_keys, settings)
    await asyncio.to_thread(_migrate, settings)
    redis_url = settings.redis_url.get_secret_value() if settings.redis_url else None
    async with (
        tracing("towonel-hub", VERSION, settings, redact=SECRET_MARKS) as provider,
        redis_client(redis_url) as redis,
        bell(redis) as ringing,
        Store.open(
            settings.database,
            ringing.committed,
            max_connections=settings.max_connections,
            max_idle=settings.max_idle_connections,
        ) as store,
    ):
        trace_queries(store.engine, provider)
        policy = policy_of(settings)
        await _declare(store, settings, policy)
        directory = Directory(store)
        await directory.catch_up()
        ringing.heard(directory.revision)
        yield Hub(
            keys,
            store,
            ringing,
            limiter(redis),
            directory,
            LiveState(store),
            settings.url,
            policy,
            tracer_provider=provider,
        )


def policy_of(settings: HubSettings) -> Policy:
    """Return what the settings decide."""
    per_key = settings.key_rate_limit_per_sec
    return Policy(
        ports=PortRules(
            privileged=settings.allow_privileged_ports,
            own=settings.ports_in_use,
            reserved_only=settings.ports_require_reservation,
        ),
        quotas=Quotas(
            services=settings.quota_services,
            agents=settings.quota_agents,
            ports=settings.quota_ports,
            hostnames=settings.quota_hostnames,
        ),
        per_address=Rate(settings.rate_limit_per_sec, settings.rate_limit_burst),
        per_key=Rate(per_key, max(1, round(BURST_S * per_key))),
        proxies=settings.proxies,
        open_tenant_logs=settings.open_tenant_logs,
        agents={agent: one.tenant_id for one in settings.tenants for agent in one.agents},
    )


async def _declare(store: Store, settings: HubSettings, policy: Policy) -> None:
    try:
        await declare(store, settings.tenants, policy.quotas, wall_clock_ms())
    except Denied as error:
        raise SettingsError([f"TOWONEL_TENANTS: {error.detail}"]) from error


def _migrate(settings: HubSettings) -> None:
    try:
        upgrade(settings.database)
    except Denied as error:
        raise SettingsError([f"TOWONEL_HUB_DB_DSN: {settings.database}: {error.detail}"]) from error
    except (DatabaseError, InterfaceError, OSError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error.orig).splitlines()[0]
        raise SettingsError(
            [f"TOWONEL_HUB_DB_DSN: cannot use {settings.database}: {reason}"]
        ) from error
