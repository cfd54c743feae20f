"""Front of an edge: its data plane on a free port, with a worker in a thread, and any upstream."""

import asyncio
import contextlib
import random
import socket
import time
from collections.abc import AsyncGenerator
from dataclasses import replace
from typing import Any, override

from support.edge_identity import CERTIFICATE, CERTIFICATE_HASH, EDGE_ID, KEY
from support.engine import ENGINE
from support.thread_worker import start_thread

from towonel.edge.core.admission import AdmissionLimits
from towonel.edge.core.balance import Balancer
from towonel.edge.core.route_table import RouteTable
from towonel.edge.core.traffic import Traffic
from towonel.edge.data_plane.control import DataPlane
from towonel.edge.data_plane.sockets import bind_socket
from towonel.edge.metrics import Metrics
from towonel.edge.sessions import Sessions
from towonel.edge.streams.access_log import AccessLogWriter
from towonel.edge.streams.clients import StreamClients
from towonel.edge.streams.refusals import Refusals
from towonel.edge.streams.relays import Relays
from towonel.edge.streams.upstream import ClientConnection, Upstream
from towonel.edge.worker.messages import SessionAdmitted, SessionServices, Start
from towonel.relay.supervisor import Start as StartWorker
from towonel.relay.supervisor import WorkerProcess
from towonel.runtime.admin import Health
from towonel.tunnel.pipe import Pipe
from towonel.wire.errors import Code, Unavailable
from towonel.wire.routes import Route

LINES_PER_SECOND = 5
AMPLE = AdmissionLimits(99, 99, 99)
START = Start(
    edge_id=EDGE_ID,
    certificate_hash=CERTIFICATE_HASH,
    certificate_pem=CERTIFICATE,
    key_pem=KEY,
    workers=1,
    number=0,
    sessions=64,
    secret=b"s" * 16,
    proxies=[],
    clients=AMPLE.clients,
    per_source=AMPLE.per_source,
    per_tenant=AMPLE.per_tenant,
    source_share=AMPLE.source_share,
    streams=256,
    streams_per_session=1024,
    handshake_s=5.0,
    open_s=15.0,
    linger_s=1.0,
    idle_s=0.0,
    check_s=3.0,
    report_s=0.25,
    orphan_s=0.0,
    access_lines=LINES_PER_SECOND,
    engine=ENGINE.value,
)


class Nowhere(Upstream):
    """Upstream without agents."""

    @override
    async def open(self, client: ClientConnection) -> Pipe:
        raise Unavailable(Code.NO_AGENT)


class StartedWorkers:
    """Starter of worker processes, which remembers them."""

    def __init__(self, start: StartWorker) -> None:
        self.pids: list[int] = []
        self._start = start

    async def start(self, channel: socket.socket) -> WorkerProcess:
        process = await self._start(channel)
        self.pids.append(process.pid)
        return process


class Front:
    """Data plane on a free port, whose clients all go by streams."""

    def __init__(self, plane: DataPlane, port: int) -> None:
        self.plane = plane
        self.port = port
        self._doors = contextlib.ExitStack()

    async def begin(self, sock: socket.socket, served: RouteTable) -> None:
        """Accept clients, and let an agent serve the routes of a table."""
        async with asyncio.timeout(20):
            await self.plane.ready.wait()
        self.plane.listen([sock])
        self.admit(served.snapshot().routes)

    def admit(self, routes: tuple[Route, ...]) -> None:
        """Let an agent of each tenant serve all that its routes name."""
        for number, tenant in enumerate({route.tenant_id for route in routes}):
            session_id = number.to_bytes(16)
            services = [str(route.service) for route in routes if route.tenant_id == tenant]
            self.plane.tell(SessionAdmitted(session_id, tenant, b"", 0.01))
            self.plane.tell(SessionServices(session_id, services))

    def open_door(self, worker: int) -> int:
        """Return a port whose connections all reach one worker."""
        door = self._doors.enter_context(bind_socket("127.0.0.1", 0))
        door.listen()
        loop = asyncio.get_running_loop()
        loop.add_reader(door, lambda: self.plane.links[worker].accept([door.accept()[0]], None))
        self._doors.callback(loop.remove_reader, door)
        return int(door.getsockname()[1])

    def close_doors(self) -> None:
        self._doors.close()

    async def drain(self) -> None:
        """Take no more clients, and wait until those there are have ended."""
        await self.plane.stop_accepting()
        await self.plane.wait_idle()


def limited(limits: AdmissionLimits) -> Start:
    return replace(
        START,
        clients=limits.clients,
        per_source=limits.per_source,
        per_tenant=limits.per_tenant,
        source_share=limits.source_share,
    )


@contextlib.asynccontextmanager
async def start_front(
    metrics: Metrics,
    table: RouteTable,
    upstream: Upstream,
    limits: AdmissionLimits = AMPLE,
    host: str = "127.0.0.1",
    relays: Relays | None = None,
    *,
    traffic: Traffic | None = None,
    health: Health | None = None,
    has_agent: bool = True,
    start_worker: StartWorker = start_thread,
    **options: Any,
) -> AsyncGenerator[Front]:
    """Serve clients of the table's routes by an upstream; `options` are fields of `Start`."""
    plane = _make_plane(metrics, table, upstream, relays, traffic or Traffic(), health)
    start = replace(limited(limits), **options)
    with contextlib.closing(plane), contextlib.closing(bind_socket(host, 0)) as sock:
        made = Front(plane, sock.getsockname()[1])
        async with plane.run(start, start_worker, random.Random(1)):
            await made.begin(sock, table if has_agent else RouteTable())
            yield made
            made.close_doors()
            await plane.stop_accepting()  # after the worker's last report
    plane.refusals.flush()


def _make_plane(
    metrics: Metrics,
    table: RouteTable,
    upstream: Upstream,
    relays: Relays | None,
    traffic: Traffic,
    health: Health | None,
) -> DataPlane:
    relays = relays or Relays(table, clock=time.monotonic)
    refusals = Refusals(metrics, START.linger_s)
    access_log = AccessLogWriter(metrics, LINES_PER_SECOND)
    sessions = Sessions(table, Balancer(), metrics)
    streams = StreamClients(
        table, upstream, metrics, refusals, access_log, relays=relays, traffic=traffic
    )
    return DataPlane(
        *(table, sessions, streams, relays, metrics, traffic, refusals, access_log),
        health or Health(),
        "127.0.0.1",
    )
