"""Reconciler of an agent in this process, with a test hub and a network that can be cut."""

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncGenerator, Callable, Generator, Sequence
from functools import partial
from typing import override

import httpx
from support.flow_planes import make_flow_plane
from support.fork_server import start_worker
from support.hub import TestHub, new_key

from towonel.agent.checks.probe import OriginProbe
from towonel.agent.checks.runner import OriginChecks
from towonel.agent.core.edges import EdgeChoice
from towonel.agent.core.https_services import parse_https_services
from towonel.agent.core.services import Service, tabulate_origins
from towonel.agent.data_plane.client_memory import ClientMemory
from towonel.agent.data_plane.lane_metrics import LaneMetrics
from towonel.agent.data_plane.lanes import Lanes
from towonel.agent.links import Links
from towonel.agent.metrics import Metrics
from towonel.agent.origin_dialer import OriginDialer
from towonel.agent.origin_log import OriginLog
from towonel.agent.origins import Origins
from towonel.agent.publishing.publisher import Publisher
from towonel.agent.reconcile import AgentIdentity, Reconciler
from towonel.agent.serving import serve_services
from towonel.agent.timing import HubTiming, LinkTiming
from towonel.agent.worker.messages import Start
from towonel.identity.keys import NodeKey, TenantKey
from towonel.runtime.admin import Health
from towonel.runtime.dns.resolver import Resolver
from towonel.wire.tokens import InviteToken

ALL = EdgeChoice()
TIMING = HubTiming(refresh_s=0.02, first_pause_s=0.02, max_pause_s=0.02, refused_pause_s=0.02)
SERVICES = parse_https_services('[{"hostname": "a.eu", "origin": "127.0.0.1:1"}]')


@dataclasses.dataclass
class Way(httpx.AsyncBaseTransport):
    """The network between an agent and its hub; while it is cut, connections are refused."""

    hub: TestHub
    is_cut: bool
    refused: int = 0

    @override
    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if self.is_cut:
            self.refused += 1
            raise httpx.ConnectError("Connection refused", request=request)
        return await self.hub.transport().handle_async_request(request)


@dataclasses.dataclass
class Agent:
    key: NodeKey
    reconciler: Reconciler
    publisher: Publisher
    links: Links
    lanes: Lanes
    health: Health
    metrics: Metrics
    running: asyncio.Task[None]
    served: list[Sequence[Service]]  # what was served from when on


@contextlib.asynccontextmanager
async def agent(
    hub: TestHub,
    token: InviteToken,
    timing: HubTiming = TIMING,
    way: Way | None = None,
    services: Sequence[Service] = SERVICES,
) -> AsyncGenerator[Agent]:
    """A running agent, of one service unless given others."""
    key, metrics, health, resolver = new_key(), Metrics(), Health(), Resolver()
    tenant, dialer = TenantKey.from_seed(token.seed), OriginDialer(resolver, timeout_s=1)
    origins = Origins(tabulate_origins(services), dialer, metrics, max_streams=1)
    hub.clock.now_ms += 1  # another agent's request at the same time would be a replay
    with make_lanes(services, resolver, metrics, health) as lanes:
        async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
            planes = origins, lanes, make_flow_plane(services, resolver, metrics, health, lanes)
            links = Links(tasks, key, (), *planes, resolver, metrics, health, LinkTiming(), "agent")
            served, serve = _record(partial(serve_services, *planes, _unchecked(dialer), links))
            client, identity = hub.client(None, way), AgentIdentity(token, tenant, key, "default")
            whose = client, tenant, key.public, "default", services
            publisher = Publisher(*whose, serve, health, metrics)
            reconciler = Reconciler(client, identity, publisher, links, ALL, health, timing, list)
            running = tasks.create_task(reconciler.run())
            yield Agent(key, reconciler, publisher, links, lanes, health, metrics, running, served)
            running.cancel()
            links.close()


def _unchecked(dialer: OriginDialer) -> OriginChecks:
    return OriginChecks((), 1, OriginProbe(dialer), Health(), Metrics())


type Serve = Callable[[Sequence[Service]], None]


def _record(serve: Serve) -> tuple[list[Sequence[Service]], Serve]:
    """What is served from when on, and a function that notes it."""
    served = list[Sequence[Service]]()

    def note(services: Sequence[Service]) -> None:
        served.append(services)
        serve(services)

    return served, note


@contextlib.contextmanager
def make_lanes(
    services: Sequence[Service], resolver: Resolver, metrics: Metrics, health: Health
) -> Generator[Lanes]:
    """Lanes of an agent that no edge offers any."""
    start, counts = Start(1, 1, 1), LaneMetrics(metrics)
    with contextlib.closing(ClientMemory(1)) as clients:
        parts = services, start, resolver, counts, health, OriginLog(), clients
        yield Lanes(*parts, start_process=start_worker("agent"))


async def grant_of(agent: Agent) -> bytes:
    """Wait for the agent's grant."""
    while not agent.reconciler._grant:
        await asyncio.sleep(0.01)
    return agent.reconciler._grant


async def published_keys(hub: TestHub) -> list[str]:
    hub.clock.now_ms += 1  # a request of its own, and not the last one's replay
    table = await hub.client().follow_routes(hub.context.keys.node, None)
    return sorted(route.key for route in table.routes)
