"""Links of an agent, without the agent: with a grant, and no edge yet."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Sequence

from support.flow_planes import make_flow_plane
from support.fork_server import start_worker
from support.tunnel import SERVICE, grant_of, new_key

from towonel.agent.core.services import Origin, ProxyProtocol, Service, tabulate_origins
from towonel.agent.data_plane.client_memory import ClientMemory
from towonel.agent.data_plane.lane_metrics import LaneMetrics
from towonel.agent.data_plane.lanes import Lanes
from towonel.agent.links import Links
from towonel.agent.metrics import Metrics
from towonel.agent.origin_dialer import OriginDialer
from towonel.agent.origin_log import OriginLog
from towonel.agent.origins import Origins
from towonel.agent.timing import LinkTiming
from towonel.agent.worker.messages import Start
from towonel.relay.core.lane_kinds import LaneKind
from towonel.runtime.admin import Health
from towonel.runtime.dns.resolver import Resolver


@contextlib.asynccontextmanager
async def linking(
    health: Health,
    timing: LinkTiming,
    metrics: Metrics | None = None,
    kinds: Sequence[LaneKind] = (),
) -> AsyncGenerator[Links]:
    """Yield the links of an agent with one service; it asks for lanes of these kinds."""
    key, resolver, metrics = new_key(), Resolver(), metrics or Metrics()
    services = [Service(SERVICE, Origin("127.0.0.1", 1, ProxyProtocol.NONE))]
    start, counts, origin_log = Start(1, 1, 1), LaneMetrics(metrics), OriginLog()
    table, dialer = tabulate_origins(services), OriginDialer(resolver, 1)
    origins = Origins(table, dialer, metrics, max_streams=1)
    async with asyncio.timeout(30), contextlib.AsyncExitStack() as exits:
        clients = exits.enter_context(contextlib.closing(ClientMemory(1)))
        parts = services, start, resolver, counts, health, origin_log, clients
        lanes = Lanes(*parts, start_process=start_worker("agent"), kinds=kinds)
        tasks = await exits.enter_async_context(asyncio.TaskGroup())
        flows = make_flow_plane(services, resolver, metrics, health, lanes)
        links = Links(
            *(tasks, key, (SERVICE,), origins, lanes, flows, resolver),
            *(metrics, health, timing, "agent"),
        )
        links.renew(grant_of(key))
        yield links
        links.close()
