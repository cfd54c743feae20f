"""The hub, whole: keys, database, bell, API and what is pruned meanwhile."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator

import structlog
from sqlalchemy.exc import DatabaseError

from towonel.hub.api.application import create_app
from towonel.hub.api.state import Hub
from towonel.hub.feed import bell
from towonel.hub.keys import load_keys
from towonel.hub.metrics import VERSION
from towonel.hub.settings import HubSettings
from towonel.hub.store import invites, retention, routes
from towonel.hub.store.migrate import upgrade
from towonel.hub.store.rows import PENDING, REVOKED
from towonel.hub.store.session import Store
from towonel.hub.store.sqlite import database_url
from towonel.runtime import admin
from towonel.runtime.admin import Health
from towonel.runtime.settings import SettingsError
from towonel.runtime.web import serve_app
from towonel.wire.errors import Unavailable

REFRESH_S = 15.0
RUMOUR_PAUSE_S = 0.01  # whoever floods Redis gets at most 100 reads a second out of it
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
        chores = tasks.create_task(_do_chores(hub))
        health.set("api", ok=True)
        log.info("hub.ready", port=port, node_id=hub.keys.node.public.hex(), url=settings.url)
        await stopping.wait()
        health.draining()
        chores.cancel()
        hub.bell.close()
    log.info("hub.stopped")


@contextlib.asynccontextmanager
async def _hub(settings: HubSettings) -> AsyncGenerator[Hub]:
    keys = await asyncio.to_thread(load_keys, settings)
    await asyncio.to_thread(_migrate, settings)
    redis_url = settings.redis_url.get_secret_value() if settings.redis_url else None
    async with (
        bell(redis_url) as ringing,
        Store.open(
            database_url(settings.database),
            ringing.ring,
            max_connections=settings.db_max_open_conns,
            max_idle=min(settings.db_max_idle_conns, settings.db_max_open_conns),
        ) as store,
    ):
        yield Hub(keys, store, ringing, settings.url, settings.allow_privileged_ports)


def _migrate(settings: HubSettings) -> None:
    try:
        upgrade(database_url(settings.database, driver="sqlite"))
    except (DatabaseError, OSError) as error:
        reason = error.orig if isinstance(error, DatabaseError) else error.strerror
        raise SettingsError(
            [f"TOWONEL_HUB_DB_DSN: cannot use {settings.database}: {reason}"]
        ) from error


async def _do_chores(hub: Hub) -> None:
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(_keep_house(hub))
        tasks.create_task(_check_rumours(hub))


async def _keep_house(hub: Hub) -> None:
    """Prune, and refresh the gauges, for ever; a database that is away is tried again."""
    while True:
        with contextlib.suppress(Unavailable):
            async with hub.store.write() as change:
                await retention.prune(change, hub.now_ms())
            async with hub.store.read() as session:
                count = await invites.count_by_status(session)
                hub.bell.heard(await routes.revision(session))
            hub.metrics.tenants.set(count.get(PENDING, 0))
            for status in (PENDING, REVOKED):
                hub.metrics.invites.labels(status).set(count.get(status, 0))
        await asyncio.sleep(REFRESH_S)


async def _check_rumours(hub: Hub) -> None:
    """Ask the database whenever Redis tells of a change, for ever."""
    while True:
        await hub.bell.rumour()
        with contextlib.suppress(Unavailable):
            async with hub.store.read() as session:
                hub.bell.heard(await routes.revision(session))
        await asyncio.sleep(RUMOUR_PAUSE_S)
