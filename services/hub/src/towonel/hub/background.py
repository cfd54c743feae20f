"""Background work of a hub: maintenance, the refresh of its caches, and its health."""

import asyncio
import contextlib

import structlog

from towonel.hub.context import Hub
from towonel.hub.store import api_keys, edges, invites, retention, routes
from towonel.hub.store.retention import Retention
from towonel.hub.store.tables import PENDING, REVOKED
from towonel.runtime.admin import Health
from towonel.wire.errors import TowonelError, Unavailable

REFRESH_PAUSE_S = 0.1  # a flood of messages in Redis causes at most ten reads a second
log: structlog.stdlib.BoundLogger = structlog.get_logger()


async def run(hub: Hub, health: Health, limits: Retention) -> None:
    """Do all of it until it is cancelled; a database that is unavailable is tried again."""
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(_maintain(hub, limits))
        tasks.create_task(_refresh_routes(hub))
        tasks.create_task(_watch_database(hub, health))
        tasks.create_task(_watch_redis(hub, health))


async def _maintain(hub: Hub, limits: Retention) -> None:
    while True:
        with contextlib.suppress(TowonelError):
            await flush(hub)
            await prune(hub, limits)
            await hub.route_cache.catch_up()
            await refresh_gauges(hub)
        await asyncio.sleep(hub.timing.maintenance_s)


async def prune(hub: Hub, limits: Retention) -> None:
    """Delete what is past its retention, a part at a time: between two of them others write."""
    more = True
    while more:
        async with hub.store.write() as change:
            more = await retention.prune(change, limits)


async def flush(hub: Hub) -> None:
    """Save when keys were used and edges were seen; what cannot be saved waits."""
    used, seen = dict(hub.key_uses), dict(hub.edges_seen)
    if not used and not seen:
        return
    async with hub.store.write_fact() as session:
        await api_keys.update_used(session, used)
        await edges.update_seen(session, seen)
    for saved, pending in ((used, hub.key_uses), (seen, hub.edges_seen)):
        for name, at_ms in saved.items():
            if pending.get(name) == at_ms:
                del pending[name]


async def refresh_gauges(hub: Hub) -> None:
    """Update the metrics that are counted in the database."""
    async with hub.store.read() as session:
        count = await invites.count_by_status(session)
        hub.route_changes.set_revision(await routes.get_revision(session))
    await hub.edge_reports.refresh(hub.now_ms())
    hub.metrics.tenants.set(count.get(PENDING, 0))
    for status in (PENDING, REVOKED):
        hub.metrics.invites.labels(status).set(count.get(status, 0))
    hub.metrics.agents_live.set(len(hub.edge_reports.view.agents))
    hub.metrics.edges_live.set(len(hub.edge_reports.view.edges))


async def _refresh_routes(hub: Hub) -> None:
    """Keep the cache up to date before edges ask, also with what other replicas change."""
    while True:
        await hub.route_cache.refresh_requested()
        pause_s = REFRESH_PAUSE_S
        try:
            await hub.route_cache.catch_up()
            hub.route_changes.set_revision(hub.route_cache.revision)
        except Unavailable:
            hub.route_cache.request_refresh()
            pause_s = hub.timing.health_check_s
        await asyncio.sleep(pause_s)


async def _watch_database(hub: Hub, health: Health) -> None:
    """Report the health of the database, and look for what other replicas changed."""
    reported = None
    while True:
        unavailable = degraded = None
        try:
            async with hub.store.read() as session:
                hub.route_changes.set_revision(await routes.get_revision(session))
            if hub.store.trouble is not None:
                degraded = await _check_writes(hub)
        except TowonelError as error:
            unavailable = f"{error.detail}: routes are served from memory, writes are refused"
        health.set("database", ok=unavailable is None, reason=unavailable or "")
        health.set_degraded("database", reason=degraded)
        hub.metrics.database.set(unavailable is degraded is None)
        if reported != (reported := unavailable or degraded):
            _log_database(unavailable, degraded)
        await asyncio.sleep(hub.timing.health_check_s)


def _log_database(unavailable: str | None, degraded: str | None) -> None:
    if unavailable:
        log.warning("database.unavailable", reason=unavailable)
    elif degraded:
        log.warning("database.degraded", reason=degraded)
    else:
        log.info("database.recovered")


async def _check_writes(hub: Hub) -> str | None:
    """Return why writes are refused, or None where they work."""
    try:
        await hub.store.try_to_write()
    except TowonelError as error:
        return f"{error.detail}: reads are answered, writes are refused"
    return None


async def _watch_redis(hub: Hub, health: Health) -> None:
    """Report the health of Redis on /readyz; the metrics read it themselves."""
    while True:
        await hub.limiter.check()
        is_away = hub.route_changes.is_disconnected or hub.limiter.degraded
        health.set_degraded("redis", reason="away: changes show later" if is_away else None)
        await asyncio.sleep(hub.timing.health_check_s)
