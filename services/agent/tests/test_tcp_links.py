"""Links over TCP: made where UDP gets no answer, left when it does, and never where they are of no use."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field, replace

from structlog.testing import capture_logs
from support.agent_links import linking
from support.firewall import Firewall
from support.ports import free_port
from support.tcp_edge import SHORT, TcpEdge
from support.tunnel import IDENTITY, listening_edge, until

from towonel.agent.core.edges import Edge
from towonel.agent.links import Links
from towonel.agent.metrics import Metrics
from towonel.agent.timing import LinkTiming
from towonel.relay.core.lane_kinds import LaneKind
from towonel.runtime.admin import Health
from towonel.tunnel.core.timing import Timing
from towonel.wire.errors import Code

TIMING = LinkTiming(
    first_pause_s=0.05, max_pause_s=0.1, first_udp_s=0.1, max_udp_s=0.2, session=SHORT
)
KINDS = (LaneKind.PLAIN,)
PATIENT = replace(
    TIMING, silence_check_s=0.05, session=replace(SHORT, dead_s=0.2, idle_s=20.0)
)  # a silent session is not lost for the whole test


@dataclass
class Network:
    """An agent, and an edge behind a firewall."""

    tcp: TcpEdge
    firewall: Firewall
    port: int
    health: Health = field(default_factory=Health)
    metrics: Metrics = field(default_factory=Metrics)

    @contextlib.asynccontextmanager
    async def agent(
        self, kinds: tuple[LaneKind, ...] = KINDS, timing: LinkTiming = TIMING
    ) -> AsyncGenerator[Links]:
        """An agent that keeps a link to the edge."""
        async with linking(self.health, timing, self.metrics, kinds) as links:
            links.update_edges([Edge(IDENTITY, (("127.0.0.1", self.port),))])
            yield links

    def value(self, name: str, **labels: str) -> float:
        return self.metrics.registry.get_sample_value(f"towonel_agent_{name}", labels) or 0


@contextlib.asynccontextmanager
async def network(timing: Timing = SHORT) -> AsyncGenerator[Network]:
    port = free_port()
    async with listening_edge(timing, port=free_port(), has_lanes=True) as edge:
        with socket.create_server(edge.address) as server:
            server.setblocking(False)
            tcp, firewall = TcpEdge(edge, server), Firewall(edge.listener.port)
            async with firewall.run(port), asyncio.TaskGroup() as tasks:
                taking = tasks.create_task(tcp.take_all())
                yield Network(tcp, firewall, port)
                taking.cancel()


async def test_udp_that_is_blocked_costs_the_agent_streams_and_not_its_clients() -> None:
    async with network() as net:
        with capture_logs() as lines:
            async with net.agent():
                await until(lambda: net.value("links_by_tcp") == 1)
                reason = net.health.reasons["udp"]
                (session,) = net.tcp.edge.policy.sessions
                has_streams = session.has_streams
            gone = net.value("links_by_tcp")

    assert not has_streams
    assert "1 of 1 links go over TCP" in reason
    assert "is UDP blocked?" in reason
    assert [line["log_level"] for line in lines if line["event"] == "link.by_tcp"] == ["warning"]
    assert gone == 0


async def test_udp_is_tried_again_and_taken_when_it_is_back() -> None:
    async with network() as net, net.agent() as links:
        await until(lambda: net.value("links_by_tcp") == 1)
        net.firewall.passes_udp = True
        await until(lambda: net.value("links_by_tcp") == 0 and net.value("links_active") == 1)
        await until(lambda: Code.SUPERSEDED in net.tcp.edge.policy.ended_with)

        assert [session.has_streams for session in net.tcp.edge.policy.sessions] == [True]
        assert [link.is_by_tcp for link in links._links] == [False]
        assert "udp" not in net.health.reasons


async def test_udp_that_goes_leads_to_tcp_and_the_session_is_replaced() -> None:
    async with network() as net:
        net.firewall.passes_udp = True
        async with net.agent():
            await until(lambda: net.value("links_active") == 1)
            assert net.value("links_by_tcp") == 0
            net.firewall.passes_udp = False
            await until(lambda: net.value("links_by_tcp") == 1)
            await until(lambda: len(net.tcp.edge.policy.sessions) == 1)


async def test_an_edge_that_falls_silent_is_reached_over_tcp_before_its_session_is_lost() -> None:
    async with network(PATIENT.session) as net:
        net.firewall.passes_udp = True
        with capture_logs() as lines:
            async with net.agent(timing=PATIENT) as links:
                await until(lambda: net.value("links_active") == 1)
                net.firewall.passes_udp = False
                await until(lambda: net.tcp.edge.policy.ended_with == [Code.SUPERSEDED])
                await until(lambda: [link.is_by_tcp for link in links._links] == [True])
                reason = net.health.reasons["udp"]

    closed = [line["code"] for line in lines if line["event"] == "link.closed"]
    assert "no answer: is UDP blocked?" in reason
    assert closed[0] == "superseded"  # clients of its lanes go on


async def test_udp_that_comes_and_goes_is_followed_each_time() -> None:
    async with network(PATIENT.session) as net, net.agent(timing=PATIENT) as links:
        for passes in (False, True, False, True):
            net.firewall.passes_udp = passes
            await until(lambda: [link.is_by_tcp for link in links._links] == [not passes])  # noqa: B023

        await until(lambda: "udp" not in net.health.reasons)
        assert set(net.tcp.edge.policy.ended_with) == {Code.SUPERSEDED}


async def test_a_silent_edge_that_is_not_there_over_tcp_either_is_waited_for() -> None:
    async with network(PATIENT.session) as net:
        net.firewall.passes_udp = True
        async with net.agent(timing=PATIENT) as links:
            await until(lambda: net.value("links_active") == 1)
            before = list(links._links)
            net.firewall.passes_tcp = False
            net.firewall.passes_udp = False
            await until(lambda: net.firewall.refused > 1)
            net.firewall.passes_udp = True
            await until(lambda: before[0].channel.connection.unanswered_s == 0)

            assert list(links._links) == before
            assert net.tcp.edge.policy.ended_with == []


async def test_a_link_over_tcp_that_is_lost_is_made_again() -> None:
    async with network() as net, net.agent():
        await until(lambda: net.value("links_by_tcp") == 1)
        first = net.tcp.edge.policy.sessions[0].session_id
        net.tcp.edge.policy.sessions[0].close(Code.INTERNAL)
        await until(lambda: [s for s in net.tcp.edge.policy.sessions if s.session_id != first])


async def test_an_agent_without_lanes_has_no_use_for_tcp() -> None:
    async with network() as net, net.agent(kinds=()):
        await until(lambda: net.value("edge_connections_rejected_total", reason="session_lost") > 1)

        assert net.value("links_by_tcp") == 0
        assert net.tcp.taken == []
