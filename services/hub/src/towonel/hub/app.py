"""Composition of the hub: keys, database, caches, API and background work."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from random import SystemRandom

import structlog
from sqlalchemy.exc import DatabaseError, InterfaceError

from towonel.hub import background
from towonel.hub.api.application import create_app
from towonel.hub.api.http.proxied import make_protocol
from towonel.hub.bounds import MIB, Bounds
from towonel.hub.context import Hub, Policy
from towonel.hub.core.ports import PortRules
from towonel.hub.core.quotas import Quotas
from towonel.hub.core.rate_limits import Rate
from towonel.hub.key_files import HubKeys, has_operator_key, load_keys
from towonel.hub.live.audit_signal import AuditSignal
from towonel.hub.live.edge_reports import EdgeReports
from towonel.hub.live.rate_limits import make_limiter
from towonel.hub.live.route_cache import RouteCache
from towonel.hub.live.route_changes import make_route_changes, on_commit, redis_client
from towonel.hub.metrics import VERSION, Metrics
from towonel.hub.operations.declared_tenants import declare
from towonel.hub.settings import HubSettings
from towonel.hub.store.db.errors import describe, is_corrupt, is_passing
from towonel.hub.store.db.migrate import upgrade
from towonel.hub.store.db.offline import check_file
from towonel.hub.store.db.tracing import trace_queries
from towonel.hub.store.db.transactions import Store
from towonel.hub.store.retention import Retention
from towonel.hub.timing import Timing
from towonel.runtime import admin
from towonel.runtime.admin import Health
from towonel.runtime.backoff import Backoff
from towonel.runtime.lifecycle import GiveUp
from towonel.runtime.settings import SettingsError
from towonel.runtime.sockets import limit_by_descriptors
from towonel.runtime.tracing.telemetry import tracing
from towonel.runtime.web import CONNECTIONS, serve_app
from towonel.wire.errors import Denied, TowonelError
from towonel.wire.tokens import SECRET_MARKS

BURST_S = 10  # of requests that a key may make at once, at its rate
log: structlog.stdlib.BoundLogger = structlog.get_logger()


async def serve(
    settings: HubSettings, stopping: asyncio.Event, timing: Timing | None = None
) -> None:
    """Run the hub until `stopping`; requests in flight finish, long polls are answered.

    While Postgres is not there yet, the hub runs and is not ready.

    Raises:
        SettingsError: where an address or the database cannot be had.
        SecretFileError: where a key's file cannot be used.
    """
    health, metrics = Health(), Metrics()
    health.set("api", ok=False)
    await asyncio.to_thread(_check_file, settings)  # before keys are made beside it
    async with admin.serve(
        *settings.health_listen_addr,
        health,
        metrics.registry,
        about={"name": "hub", "version": VERSION},
        variable=settings.variable_of("health_listen_addr"),
    ):
        has_keys = has_operator_key(settings)
        keys = await asyncio.to_thread(load_keys, settings)
        if await _migrate_when_ready(settings, health, stopping, has_keys=has_keys):
            async with _open_hub(settings, keys, metrics, timing or Timing()) as hub:
                await _serve(settings, hub, health, stopping)
    log.info("hub.stopped")


async def _serve(settings: HubSettings, hub: Hub, health: Health, stopping: asyncio.Event) -> None:
    async with (
        serve_app(
            create_app(hub),
            *settings.listen_addr,
            variable=settings.variable_of("listen_addr"),
            drain_s=settings.drain_timeout_secs,
            make_protocol=make_protocol(hub),
        ) as port,
        asyncio.TaskGroup() as tasks,
    ):
        retention = Retention(settings.audit_retention_days)
        running = tasks.create_task(background.run(hub, health, retention))
        health.set("api", ok=True)
        log.info("hub.started", port=port, node_id=hub.keys.node.public.hex(), url=settings.url)
        if settings.public_url is None:
            log.warning("public_url.defaulted", unset="TOWONEL_HUB_PUBLIC_URL")
        await stopping.wait()
        health.start_draining()
        running.cancel()
        hub.stop()
    with contextlib.suppress(TowonelError):  # what is saved every 15 s
        await background.flush(hub)


@contextlib.asynccontextmanager
async def _open_hub(
    settings: HubSettings, keys: HubKeys, metrics: Metrics, timing: Timing
) -> AsyncGenerator[Hub]:
    redis_url = settings.redis_url.get_secret_value() if settings.redis_url else None
    async with (
        tracing("towonel-hub", VERSION, settings, redact=SECRET_MARKS) as provider,
        redis_client(redis_url) as redis,
        make_route_changes(redis, timing.redis_ping_s) as changes,
        Store.open(
            settings.database,
            on_commit(changes, audited := AuditSignal()),
            lambda: changes.highest,
            max_connections=settings.max_connections,
            max_idle=settings.max_idle_connections,
            begin_s=timing.database_begin_s,
            answer_s=timing.database_answer_s,
        ) as store,
    ):
        trace_queries(store.engine, provider)
        policy = policy_of(settings)
        await _declare(store, settings, policy)
        route_cache = RouteCache(store, changes)
        await route_cache.catch_up()
        changes.set_revision(route_cache.revision)
        yield Hub(
            keys,
            store,
            changes,
            audited,
            make_limiter(redis, answer_s=timing.redis_answer_s, retry_s=timing.redis_retry_s),
            route_cache,
            EdgeReports(store),
            settings.url,
            policy,
            timing,
            bounds_of(settings),
            metrics=metrics,
            tracer_provider=provider,
        )


def bounds_of(settings: HubSettings) -> Bounds:
    """Return the bounds that the settings and the limit of open files leave."""
    awaited_bodies = limit_by_descriptors(CONNECTIONS) // 8
    return Bounds(awaited_bodies=awaited_bodies, body_bytes=settings.body_memory_mib * MIB)


def policy_of(settings: HubSettings) -> Policy:
    """Return the policy that the settings describe."""
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
            groups=settings.quota_groups,
            group_services=settings.quota_group_services,
        ),
        per_address=Rate(settings.rate_limit_per_sec, settings.rate_limit_burst),
        route_changes=Rate(settings.route_changes_per_sec, settings.route_changes_burst),
        per_key=Rate(per_key, max(1, round(BURST_S * per_key))),
        proxies=settings.proxies,
        reserved_names=settings.hostnames_in_use,
        open_tenant_logs=settings.open_tenant_logs,
        agents={agent: one.tenant_id for one in settings.tenants for agent in one.agents},
    )


async def _declare(store: Store, settings: HubSettings, policy: Policy) -> None:
    try:
        await declare(store, settings.tenants, policy.quotas)
    except Denied as error:
        raise SettingsError([f"TOWONEL_TENANTS: {error.detail}"]) from error


def _check_file(settings: HubSettings) -> None:
    try:
        check_file(settings.database)
    except Denied as error:
        raise SettingsError([f"{settings.database_variable}: {error.detail}"]) from error


async def _migrate_when_ready(
    settings: HubSettings, health: Health, stopping: asyncio.Event, *, has_keys: bool
) -> bool:
    """Migrate the database once it is available; return False when the hub stops before."""
    backoff, rng = Backoff(0.5, 5), SystemRandom()
    while not stopping.is_set():
        try:
            is_new = await asyncio.to_thread(upgrade, settings.database)
        except Denied as error:
            problem = f"{settings.database_variable}: {settings.database}: {error.detail}"
            raise SettingsError([problem]) from error
        except OSError as error:
            raise _unusable(settings, str(error.strerror)) from error
        except (DatabaseError, InterfaceError) as error:
            reason = describe(error.orig)
            if not is_passing(error.orig):
                raise _unusable(settings, reason, error) from error
            health.set("database", ok=False, reason=f"waiting for it: {reason}")
            log.warning("database.unavailable", reason=reason)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(backoff.next_delay(rng)):
                    await stopping.wait()
        else:
            if is_new and has_keys:
                log.warning("database.new_beside_keys", database=str(settings.database))
            health.set("database", ok=True)
            return True
    return False


def _unusable(
    settings: HubSettings, reason: str, error: DatabaseError | InterfaceError | None = None
) -> Exception:
    """Return the error that ends the hub; a database that broke is no mistake in the settings."""
    problem = f"cannot use {settings.database}: {reason}"
    if error is not None and is_corrupt(error.orig):
        return GiveUp(f"{problem}: restore a backup, or repair it")
    return SettingsError([f"{settings.database_variable}: {problem}"])
