"""What a hub does beside answering: it prunes, catches up with replicas, and looks after itself."""

import asyncio
import contextlib

import structlog

from towonel.hub.context import Hub
from towonel.hub.store import api_keys, edges, invites, retention, routes
from towonel.hub.store.retention import Retention
from towonel.hub.store.tables import PENDING, REVOKED
from towonel.runtime.admin import Health
from towonel.wire.errors import TowonelError, Unavailable

REFRESH_S = 15.0
LOOK_S = 2.0  # how late /readyz tells that the database or Redis is away, or is back
RUMOUR_PAUSE_S = 0.01  # whoever floods Redis gets at most 100 reads a second out of it
log: structlog.stdlib.BoundLogger = structlog.get_logger()


async def run(hub: Hub, health: Health, kept: Retention) -> None:
    """Do it all for ever; a database that is away is tried again."""
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(_maintain(hub, kept))
        tasks.create_task(_refresh_routes(hub))
        tasks.create_task(_watch_database(hub, health))
        tasks.create_task(_watch_redis(hub, health))


async def _maintain(hub: Hub, kept: Retention) -> None:
    while True:
        with contextlib.suppress(TowonelError):
            await flush(hub)
            await prune(hub, kept)
            await hub.route_cache.catch_up()
            await refresh_gauges(hub)
        await asyncio.sleep(REFRESH_S)


async def prune(hub: Hub, kept: Retention) -> None:
    """Forget what is old, a part at a time: between two of them others write."""
    more = True
    while more:
        async with hub.store.write() as change:
            more = await retention.prune(change, kept)


async def flush(hub: Hub) -> None:
    """Write down when keys were used and edges were here; what cannot be written waits."""
    used, seen = dict(hub.key_uses), dict(hub.edges_seen)
    if not used and not seen:
        return
    async with hub.store.write_fact() as session:
        await api_keys.update_used(session, used)
        await edges.update_seen(session, seen)
    for noted, pending in ((used, hub.key_uses), (seen, hub.edges_seen)):
        for name, at_ms in noted.items():
            if pending.get(name) == at_ms:
                del pending[name]


async def refresh_gauges(hub: Hub) -> None:
    """Count what only the database knows."""
    async with hub.store.read() as session:
        count = await invites.count_by_status(session)
        hub.route_changes.set_revision(await routes.get_revision(session))
    await hub.edge_reports.refresh(hub.now_ms())
    hub.metrics.tenants.set(count.get(PENDING, 0))
    for status in (PENDING, REVOKED):
        hub.metrics.invites.labels(status).set(count.get(status, 0))
    hub.metrics.agents_live.set(len(hub.edge_reports.agent_ids()))
    hub.metrics.edges_live.set(hub.edge_reports.edge_count())


async def _refresh_routes(hub: Hub) -> None:
    """Read what changed, here or at a replica, before edges ask; what Redis tells is a rumour."""
    while True:
        await hub.route_changes.refresh_requested()
        pause_s = RUMOUR_PAUSE_S
        try:
            await hub.route_cache.catch_up()
            hub.route_changes.set_revision(hub.route_cache.revision)
        except Unavailable:
            hub.route_changes.request_refresh()
            pause_s = LOOK_S
        await asyncio.sleep(pause_s)


async def _watch_database(hub: Hub, health: Health) -> None:
    """Tell /readyz and the metrics whether the database is away, and look what replicas changed."""
    told = None
    while True:
        away = worse = None
        try:
            async with hub.store.read() as session:
                hub.route_changes.set_revision(await routes.get_revision(session))
            if hub.store.trouble is not None:
                worse = await _trouble_with_writes(hub)
        except TowonelError as error:
            away = f"{error.detail}: routes are served from memory, writes are refused"
        health.set("database", ok=away is None, reason=away or "")
        health.degraded("database", reason=worse)
        hub.metrics.database.set(away is worse is None)
        if told != (told := away or worse):
            log.warning("database.trouble", reason=told) if told else log.info("database.well")
        await asyncio.sleep(LOOK_S)


async def _trouble_with_writes(hub: Hub) -> str | None:
    try:
        await hub.store.try_to_write()
    except TowonelError as error:
        return f"{error.detail}: reads are answered, writes are refused"
    return None


async def _watch_redis(hub: Hub, health: Health) -> None:
    """Tell /readyz whether Redis is away; the metrics ask for themselves."""
    while True:
        await hub.limiter.look()
        away = hub.route_changes.is_disconnected or hub.limiter.degraded
        health.degraded("redis", reason="away: changes show later" if away else None)
        await asyncio.sleep(LOOK_S)
