"""Control of an agent's lanes: a real worker process dials what links say, and is told of their ends."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from functools import partial

import pytest
from structlog.testing import capture_logs
from support.fork_server import preload, start_worker
from support.lane_peers import LanePeer, accept_lane
from support.ports import free_port
from support.tunnel import IDENTITY, SERVICE, ListeningEdge, listening_edge, until

from towonel.agent.core.services import Origin, ProxyProtocol, Service
from towonel.agent.data_plane.client_memory import ClientMemory
from towonel.agent.data_plane.lane_metrics import LaneMetrics
from towonel.agent.data_plane.lanes import Lanes
from towonel.agent.metrics import Metrics
from towonel.agent.origin_log import OriginLog
from towonel.agent.worker.messages import LanesFailed, LanesWorking, SessionLanes
from towonel.agent.worker.messages import Start as StartMessage
from towonel.relay.core.lane_kinds import LaneKind
from towonel.relay.supervisor import Start, Worker, exec_python
from towonel.runtime.admin import Health
from towonel.runtime.dns.resolver import Resolver
from towonel.tunnel.core.events import LanesRequested
from towonel.tunnel.link import Link
from towonel.tunnel.session import Session
from towonel.wire import clienthello, lane_admission
from towonel.wire.errors import Code, ProtocolError
from towonel.wire.lane_admission import tls_pool_id


@pytest.fixture(scope="module", autouse=True)
def fork_server() -> None:
    preload()


@dataclass
class Agent:
    """An agent's lanes, and what they say."""

    workers: int = 1
    kinds: tuple[LaneKind, ...] = (LaneKind.PLAIN,)
    start_process: Start = field(default_factory=partial(start_worker, "agent"))
    health: Health = field(default_factory=Health)
    metrics: Metrics = field(default_factory=Metrics)

    def __post_init__(self) -> None:
        self.clients = ClientMemory(self.workers)
        self.lanes = Lanes(
            [Service(SERVICE, Origin("127.0.0.1", 1, ProxyProtocol.NONE))],
            StartMessage(5, 9, 5, self.workers),
            Resolver(),
            LaneMetrics(self.metrics),
            self.health,
            OriginLog(),
            self.clients,
            kinds=self.kinds,
            start_process=self.start_process,
        )

    def worker(self, number: int = 0) -> Worker:
        found = self.lanes.links[number].worker
        assert found, "it runs"
        return found

    def value(self, name: str, **labels: str) -> float:
        return self.metrics.registry.get_sample_value(f"towonel_agent_{name}", labels) or 0

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        with contextlib.closing(self.clients):
            async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
                running = tasks.create_task(self.lanes.run())
                yield
                running.cancel()


@contextlib.asynccontextmanager
async def linked(
    agent: Agent, edge: ListeningEdge
) -> AsyncGenerator[tuple[Session, Link, socket.socket]]:
    """A link of the agent to an edge, and the TCP port where that takes lanes."""
    with socket.create_server(edge.address) as server:
        async with agent.running(), edge.session() as (session, link):
            with agent.lanes.hold(link, "edge.example.eu"):
                yield session, link, server


async def admit(server: socket.socket, session: Session) -> LanePeer:
    """Admit a lane of a session."""
    assert session.lane_secret
    return await asyncio.to_thread(
        accept_lane,
        server,
        session.lane_secret,
        IDENTITY.edge_id,
        IDENTITY.certificate_sha256,
    )


async def ended(lane: LanePeer) -> bool:
    """Wait for the end of a lane."""
    with lane.sock:
        return await asyncio.to_thread(lane.is_closed)


async def test_lanes_inside_tls_are_dialled_once_the_edge_wants_some_for_other_services() -> None:
    agent = Agent()
    async with (
        listening_edge(port=free_port(), has_lanes=True) as edge,
        linked(agent, edge) as (session, link, server),
    ):
        lanes = [await admit(server, session) for _ in range(2)]
        pool = agent.lanes._pools[tls_pool_id(link.session_id)]
        assert list(pool.shares.shares) == [0]
        session.channel.request(LanesRequested(1, inside_tls=True))
        sock, _ = await asyncio.to_thread(server.accept)
        with sock:
            sock.settimeout(20)
            hello = await asyncio.to_thread(sock.recv, 16384)

        found = clienthello.read(hello)
        assert isinstance(found, clienthello.ClientHello)
        assert found.protocols == (lane_admission.ALPN,)
        for lane in lanes:
            lane.sock.close()


async def test_lanes_are_dialled_where_the_link_goes_as_many_as_the_edge_wants() -> None:
    agent = Agent()
    async with (
        listening_edge(port=free_port(), has_lanes=True) as edge,
        linked(agent, edge) as (session, _, server),
    ):
        lanes = [await admit(server, session) for _ in range(2)]
        session.channel.request(LanesRequested(3))
        lanes.append(await admit(server, session))
        await until(lambda: agent.value("lanes_admitted_total", way="lane") == 3)
        await until(lambda: agent.value("lanes", state="wanted") == 3)
        for lane in lanes:
            lane.sock.close()


async def test_without_lanes_there_is_no_worker() -> None:
    off, without = Agent(kinds=()), Agent()
    async with listening_edge(port=free_port(), has_lanes=True) as edge, linked(off, edge):
        assert not off.lanes._wanted.is_set()
    async with listening_edge(port=free_port()) as edge, linked(without, edge):
        assert not without.lanes._wanted.is_set()

    assert [link.worker for link in (*off.lanes.links, *without.lanes.links)] == [None, None]


async def test_the_lanes_of_a_link_end_with_it() -> None:
    agent = Agent()
    async with listening_edge(port=free_port(), has_lanes=True) as edge:
        with socket.create_server(edge.address) as server:
            async with agent.running():
                async with edge.session() as (session, link):
                    with agent.lanes.hold(link, "edge.example.eu"):
                        lanes = [await admit(server, session) for _ in range(2)]
                assert [await ended(lane) for lane in lanes] == [True, True]


async def test_a_link_whose_edge_gives_it_the_id_of_another_session_is_refused() -> None:
    """Its lanes would take the place of the other's, which go on."""
    agent = Agent()
    async with (
        listening_edge(port=free_port(), has_lanes=True) as edge,
        linked(agent, edge) as (session, link, server),
    ):
        with (
            pytest.raises(ProtocolError, match="names two sessions alike"),
            agent.lanes.hold(link, "other.example.eu"),
        ):
            raise AssertionError("it is held twice")
        lanes = [await admit(server, session) for _ in range(2)]
    assert [await ended(lane) for lane in lanes] == [True, True]


async def test_an_edge_that_takes_no_lanes_degrades_the_agent_and_is_named() -> None:
    agent = Agent()
    async with listening_edge(port=free_port(), has_lanes=True) as edge:
        with capture_logs() as lines:
            async with agent.running(), edge.session() as (_, link):
                with agent.lanes.hold(link, "edge.example.eu"):
                    await until(lambda: agent.health.reasons)
                    reason = agent.health.reasons["lanes"]
                    failed = partial(agent.value, "lanes_failed_total", reason="session_lost")
                    await until(lambda: failed() >= 3)
        left = dict(agent.health.reasons)

    assert reason == "1 of 1 edges take no lanes (session_lost): streams carry clients"
    (line,) = [line for line in lines if line["event"] == "lanes.failed"]
    assert (line["peer"], line["code"]) == (link.peer, "session_lost")
    assert agent.health.ready
    assert left == {}


async def test_a_worker_that_dies_is_replaced_and_told_of_all_sessions() -> None:
    agent = Agent(start_process=exec_python("-m", "towonel.agent.worker"))
    async with (
        listening_edge(port=free_port(), has_lanes=True) as edge,
        linked(agent, edge) as (session, _, server),
    ):
        before = [await admit(server, session) for _ in range(2)]
        agent.worker()._process.kill()
        assert [await ended(lane) for lane in before] == [True, True]
        after = [await admit(server, session) for _ in range(2)]
        await until(lambda: agent.value("lanes", state="idle") == 2)
        for lane in after:
            lane.sock.close()

    assert agent.value("worker_restarts_total") == 1


# Several workers.


async def test_each_worker_has_its_share_and_the_successor_of_one_takes_it_over() -> None:
    agent = Agent(workers=2)
    async with (
        listening_edge(port=free_port(), has_lanes=True) as edge,
        linked(agent, edge) as (session, _, server),
    ):
        before = [await admit(server, session) for _ in range(2)]
        session.channel.request(LanesRequested(6))
        before += [await admit(server, session) for _ in range(4)]
        await until(lambda: agent.value("lanes", state="idle") == 6)
        for row, clients in enumerate((7, 2, 3)):
            agent.clients._rows[row][0] = clients
        assert agent.lanes.active == 5
        agent.worker(1)._process.kill()
        after = [await admit(server, session) for _ in range(3)]
        await until(lambda: agent.value("lanes", state="idle") == 6)
        left = sum(not is_over(lane) for lane in before)
        for lane in (*before, *after):
            lane.sock.close()

    assert left == 3
    assert agent.lanes.active == 2, "those of the other worker"
    assert agent.value("lanes", state="wanted") == 0, "the session is over"
    assert agent.value("worker_restarts_total") == 1


def is_over(lane: LanePeer) -> bool:
    """Whether the lane's other end is gone; what was sent before is still to be read."""
    lane.sock.setblocking(False)
    try:
        while lane.sock.recv(1_000):
            pass
    except BlockingIOError:
        return False
    except ConnectionResetError:
        pass
    return True


async def end_worker(agent: Agent, number: int) -> None:
    """End a worker, and wait until that is known."""
    await until(lambda: agent.lanes.links[number].worker)
    ends = agent.value("worker_restarts_total")
    agent.worker(number)._process.kill()
    await until(lambda: agent.value("worker_restarts_total") > ends)


async def test_workers_that_keep_ending_degrade_the_agent_though_no_admission_fails() -> None:
    agent = Agent(workers=2)
    async with (
        listening_edge(port=free_port(), has_lanes=True) as edge,
        linked(agent, edge) as (session, _, server),
    ):
        lanes = [await admit(server, session) for _ in range(2)]
        for _ in range(3):
            assert agent.health.reasons == {}
            await end_worker(agent, 1)
            lanes.append(await admit(server, session))
        reason = agent.health.reasons["workers"]
        assert agent.value("workers_unstable") == 1
        for lane in lanes:
            lane.sock.close()

    assert reason.startswith("1 of 2 workers keep ending, and their clients are reset: ")
    assert reason.endswith("signal 9 (Killed)")
    assert agent.health.ready


async def test_an_edge_that_takes_no_lanes_of_any_worker_is_told_once() -> None:
    agent = Agent(workers=2)
    async with listening_edge(port=free_port(), has_lanes=True) as edge:
        with capture_logs() as lines:
            async with agent.running(), edge.session() as (_, link):
                with agent.lanes.hold(link, "edge.example.eu"):
                    await until(
                        lambda: agent.value("lanes_failed_total", reason="session_lost") >= 6
                    )
                    await until(lambda: agent.health.reasons)
                    agent.worker(0)._process.kill()
                    await until(
                        lambda: agent.value("lanes_failed_total", reason="session_lost") >= 9
                    )
                    reason = agent.health.reasons["lanes"]

    assert reason == "1 of 1 edges take no lanes (session_lost): streams carry clients"
    assert [line["event"] for line in lines].count("lanes.failed") == 1


async def test_a_worker_that_works_is_enough_for_an_edge_to_take_lanes() -> None:
    agent = Agent(workers=2)
    async with (
        listening_edge(port=free_port(), has_lanes=True) as edge,
        linked(agent, edge) as (session, link, server),
    ):
        lanes = [await admit(server, session) for _ in range(2)]
        agent.lanes.act(0, LanesWorking(link.session_id))
        agent.lanes.act(1, LanesFailed(link.session_id, int(Code.HELLO_TIMEOUT)))
        assert agent.health.reasons == {}
        agent.lanes.act(0, LanesFailed(link.session_id, int(Code.HELLO_TIMEOUT)))
        assert "hello_timeout" in agent.health.reasons["lanes"]
        agent.lanes.act(1, LanesWorking(link.session_id))
        assert agent.health.reasons == {}
        for lane in lanes:
            lane.sock.close()


async def test_what_a_worker_says_late_of_a_session_that_is_over_is_dropped() -> None:
    agent = Agent(workers=2)
    with contextlib.closing(agent.clients):
        agent.lanes.act(0, SessionLanes(b"over", idle=1, in_use=1, dialing=1, wanted=3))
        agent.lanes.act(1, LanesFailed(b"over", int(Code.SESSION_LOST)))

    assert agent.value("lanes", state="idle") == 0
    assert agent.health.reasons == {}


async def test_a_drain_ends_once_no_worker_has_a_client() -> None:
    agent = Agent(workers=2)
    async with (
        listening_edge(port=free_port(), has_lanes=True) as edge,
        linked(agent, edge) as (session, _, server),
    ):
        lanes = [await admit(server, session) for _ in range(2)]
        await agent.lanes.drain()
        assert [await ended(lane) for lane in lanes] == [True, True]
