"""Background work of a hub: maintenance, the refresh of its caches, and its health."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import structlog

from towonel.hub.context import Hub
from towonel.hub.operations import tenant_lifecycle
from towonel.hub.store import api_keys, edges, invites, retention, route_history, routes, tenants
from towonel.hub.store.retention import Retention
from towonel.hub.store.tables import PENDING, REVOKED
from towonel.runtime.admin import Health
from towonel.wire.errors import TowonelError

REFRESH_PAUSE_S = 0.1  # a flood of messages in Redis causes at most ten reads a second
log: structlog.stdlib.BoundLogger = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Task:
    """Background task: a round of work that is done for ever, with a pause after it."""

    name: str
    work: Callable[[], Awaitable[object]]
    pause_s: float


async def run(hub: Hub, health: Health, limits: Retention) -> None:
    """Do all of it until it is cancelled; what fails is reported, and tried again."""
    every_s, check_s = hub.timing.maintenance_s, hub.timing.health_check_s
    database = DatabaseWatch(hub, health)
    tasks = (
        Task("usage_times", lambda: flush(hub), every_s),
        Task("retention", lambda: prune(hub, limits), every_s),
        Task("serving", lambda: end_serving(hub), hub.timing.serving_check_s),
        Task("gauges", lambda: refresh_gauges(hub), every_s),
        Task("routes", lambda: _refresh_routes(hub), REFRESH_PAUSE_S),
        Task("database", database.check, check_s),
        Task("redis", lambda: _check_redis(hub, health), check_s),
    )
    async with asyncio.TaskGroup() as group:
        for task in tasks:
            group.create_task(repeat(task, health, retry_s=check_s))


async def repeat(task: Task, health: Health, *, retry_s: float) -> None:
    """Repeat a task for ever; while it fails, whatever the reason, it is degraded and goes on."""
    failure: str | None = None
    while True:
        reason, cause = None, None
        try:
            await task.work()
        except TowonelError as error:
            reason = error.detail
        except Exception as error:  # noqa: BLE001 one dead task would end the whole hub
            reason, cause = f"failed: {type(error).__name__}", error
        if reason is not None or failure is not None:  # a check reports under its name itself
            health.set_degraded(task.name, reason=reason)
        if reason is not None and reason != failure:
            log.warning("background.failed", task=task.name, reason=reason, exc_info=cause)
        elif reason is None and failure is not None:
            log.info("background.recovered", task=task.name)
        failure = reason
        await asyncio.sleep(task.pause_s if reason is None else retry_s)


async def prune(hub: Hub, limits: Retention) -> None:
    """Delete what is past its retention, a part at a time: between two of them others write."""
    more = True
    while more:
        async with hub.store.write() as change:
            more = await retention.prune(change, limits)


async def end_serving(hub: Hub) -> None:
    """End serving of tenants whose time is over; of several hubs one ends it, for writes are serialized."""
    async with hub.store.read() as session:
        more = bool(await tenants.find_overdue(session, hub.now_ms(), 1))
    while more:
        async with hub.store.write() as write:
            more = await tenant_lifecycle.end_overdue(write)


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
    await hub.route_cache.refresh_requested(at_most_s=hub.timing.maintenance_s)
    try:
        await hub.route_cache.catch_up()
    except Exception:
        hub.route_cache.request_refresh()
        raise
    hub.route_changes.set_revision(hub.route_cache.revision)


class DatabaseWatch:
    """Check of the database, repeated; it also looks for what other replicas changed."""

    def __init__(self, hub: Hub, health: Health) -> None:
        self._hub = hub
        self._health = health
        self._reported: str | None = None

    async def check(self) -> None:
        """Report the health of the database."""
        hub, unavailable, degraded = self._hub, None, None
        try:
            async with hub.store.read() as session:
                revision, tag = await route_history.find_newest(session)
            if (revision, tag) != (hub.route_cache.revision, hub.route_cache.tag):
                hub.route_cache.request_refresh()  # also where the database was put back
            hub.route_changes.set_revision(revision)
            if hub.store.trouble is not None:
                degraded = await _check_writes(hub)
        except TowonelError as error:
            unavailable = f"{error.detail}: routes are served from memory, writes are refused"
        self._health.set("database", ok=unavailable is None, reason=unavailable or "")
        self._health.set_degraded("database", reason=degraded)
        hub.metrics.database.set(unavailable is degraded is None)
        if self._reported != (unavailable or degraded):
            self._reported = unavailable or degraded
            _log_database(unavailable, degraded)


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


async def _check_redis(hub: Hub, health: Health) -> None:
    """Report the health of Redis on /readyz; the metrics read it themselves."""
    await hub.limiter.check()
    problem = hub.route_changes.problem or hub.limiter.problem
    reason = problem and f"{problem}; changes on other hubs show later, rate limits are not shared"
    health.set_degraded("redis", reason=reason)
