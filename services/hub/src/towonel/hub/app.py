"""The hub, whole: keys, database, bell, API and what is pruned meanwhile."""

import asyncio
import contextlib

import structlog

from towonel.hub.api.application import create_app
from towonel.hub.api.state import Hub
from towonel.hub.feed import bell
from towonel.hub.keys import load_keys
from towonel.hub.metrics import VERSION
from towonel.hub.settings import HubSettings
from towonel.hub.store import invites, retention, routes
from towonel.hub.store.migrate import upgrade
from towonel.hub.store.rows import PENDING
from towonel.hub.store.session import Store
from towonel.runtime import admin
from towonel.runtime.admin import Health
from towonel.runtime.web import serve_app
from towonel.wire.errors import Unavailable

REFRESH_S = 15.0
log: structlog.stdlib.BoundLogger = structlog.get_logger()


async def serve(settings: HubSettings, stopping: asyncio.Event) -> None:
    """Run the hub until `stopping`; requests in flight finish, waiting edges are let go."""
    keys = await asyncio.to_thread(load_keys, settings)
    await asyncio.to_thread(upgrade, f"sqlite:///{settings.database}")
    redis_url = settings.redis_url.get_secret_value() if settings.redis_url else None
    health = Health()
    health.set("api", ok=False)
    async with (
        bell(redis_url) as ringing,
        Store.open(f"sqlite+aiosqlite:///{settings.database}", ringing.ring) as store,
    ):
        hub = Hub(keys, store, ringing, settings.url, settings.allow_privileged_ports)
        async with (
            admin.serve(
                *settings.health_listen_addr,
                health,
                hub.metrics.registry,
                name="hub",
                version=VERSION,
            ),
            serve_app(
                create_app(hub), *settings.listen_addr, drain_s=settings.drain_timeout_secs
            ) as port,
            asyncio.TaskGroup() as tasks,
        ):
            housekeeping = tasks.create_task(_keep_house(hub))
            health.set("api", ok=True)
            log.info("hub.ready", port=port, node_id=keys.node.public.hex(), url=settings.url)
            await stopping.wait()
            health.draining()
            housekeeping.cancel()
            ringing.close()
    log.info("hub.stopped")


async def _keep_house(hub: Hub) -> None:
    """Prune, and refresh the gauges, for ever; a database that is away is tried again."""
    while True:
        with contextlib.suppress(Unavailable):
            async with hub.store.write() as change:
                await retention.prune(change, hub.now_ms())
            async with hub.store.read() as session:
                found = await invites.invites(session)
                hub.bell.heard(await routes.revision(session))
            hub.metrics.tenants.set(sum(row.status == PENDING for row in found))
        await asyncio.sleep(REFRESH_S)
