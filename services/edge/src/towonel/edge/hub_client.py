"""Client of the hub, for as long as an edge runs: it follows the routes, and reports what is live."""

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator
from importlib.metadata import version
from typing import TYPE_CHECKING, Final

from towonel.api.edges import EdgeRegisterIn
from towonel.client.hub import HubClient
from towonel.edge.credentials import EdgeCredentials
from towonel.edge.edge_notices import EdgeNotices
from towonel.edge.own_addresses import find_addresses
from towonel.edge.report_sender import ReportSender, send_reports
from towonel.edge.route_follower import Registration, RouteFollower

if TYPE_CHECKING:
    from towonel.edge.app import Edge

_NAME: Final = "towonel-edge"


@contextlib.asynccontextmanager
async def follow_hub(
    edge: "Edge", credentials: EdgeCredentials, session_port: int
) -> AsyncGenerator[None]:
    """Follow the hub's routes for the time of the block, and report to it what is live here.

    At the end the routes are on disk, and the hub knows that no session is live here any more.
    """
    settings, timing = edge.settings, edge.timing
    body = EdgeRegisterIn(
        addresses=find_addresses(settings, session_port),
        certificate_pem=credentials.certificate_pem,
        version=version(_NAME),
        region=settings.region,
    )
    async with HubClient(settings.hub_url, allow_insecure=settings.allow_insecure_hub) as hub:
        hub.observe_skew(edge.clock_skew.record)
        sender = ReportSender(
            hub,
            credentials.key,
            edge.reports,
            edge.sessions.has_ended,
            edge.metrics,
            lambda found: edge.plane.certificates.requests.take(found),  # noqa: PLW0108 set later
            rng=edge.rng,
            timing=timing.reports,
        )
        follower = RouteFollower(
            hub,
            Registration(credentials.key, body),
            edge.routes,
            EdgeNotices(edge.sessions),
            edge.notifications,
            edge.metrics,
            edge.health,
            clock=time.monotonic,
            rng=edge.rng,
            timing=timing.routes,
        )
        async with send_reports(sender), _follow_routes(edge, follower):
            yield


@contextlib.asynccontextmanager
async def _follow_routes(edge: "Edge", follower: RouteFollower) -> AsyncGenerator[None]:
    """Keep the routes up to date and saved for the time of the block, and save them at its end."""
    redis_url = edge.settings.redis_url
    async with asyncio.TaskGroup() as tasks:
        running = [
            tasks.create_task(follower.follow()),
            tasks.create_task(edge.routes.save_changes(edge.timing.routes.save_pause_s)),
        ]
        if redis_url is not None:
            listening = edge.notifications.listen(redis_url.get_secret_value(), edge.rng)
            running.append(tasks.create_task(listening))
        try:
            yield
        finally:
            for task in running:
                task.cancel()
            await edge.routes.save()
