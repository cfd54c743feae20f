"""UDP services among faults: no way for UDP between agent and edge, workers that are killed, an edge that is replaced."""

import contextlib
import json
import os
import signal
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from support.firewall import Firewall
from support.ports import free_port
from support.programs import OwnProcess, Program
from support.stack import Node, Stack, ready, running_stack, until
from support.tcp_origins import port_service
from support.udp_origins import UdpClient, udp_client, udp_origin

SIZES = (0, 1, 1_452, 60_000)
FLOWS = ("towonel.edge.flows", "towonel.agent.flows")


@dataclass(frozen=True)
class Home:
    """Agent of an echo, and the edge that it is reached by."""

    stack: Stack
    agent: Node[Program]
    port: int

    async def echoes(self, client: UdpClient) -> None:
        """Have datagrams of all sizes answered, of one flow; what is sent first may be lost."""
        await until(partial(hears, client))
        await client.drain(quiet_s=0.2)
        for size in SIZES:
            data = os.urandom(size)
            assert await client.ask(data) == data

    async def path(self, state: str) -> bool:
        """Whether the agent knows this of its path."""
        return await self.agent.metric("towonel_agent_datagram_paths", state=state) == 1


async def hears(client: UdpClient) -> bool:
    """Whether a client gets an answer now."""
    with contextlib.suppress(TimeoutError, OSError):
        return await client.ask(b"ping", within_s=0.5) == b"ping"
    return False


@contextlib.asynccontextmanager
async def echo_at_home(stack: Stack) -> AsyncGenerator[Home]:
    token, port = await stack.invite("udp.example.eu"), free_port()
    async with udp_origin() as origin:
        services = json.dumps([port_service("echo", origin.port, port)])
        agent = await stack.start_agent(token, TOWONEL_AGENT_UDP_SERVICES=services)
        yield Home(stack, agent, port)


async def test_datagrams_go_over_tcp_while_udp_is_blocked_and_by_udp_when_it_is_not(
    tmp_path: Path,
) -> None:
    port = free_port()
    where = {"TOWONEL_EDGE_ADVERTISED_ADDRESSES": f"127.0.0.1:{port}"}
    async with running_stack("processes", tmp_path, **where) as stack:
        wall = Firewall(stack.edge_port)
        async with wall.run(port), echo_at_home(stack) as home:
            with udp_client(home.port) as client:
                for passes, state in ((False, "down"), (True, "up"), (False, "down")):
                    wall.passes_udp = passes
                    await until(partial(home.path, state))
                    await home.echoes(client)


async def test_a_flow_worker_that_is_killed_is_replaced_and_clients_go_on(
    fresh_processes: Stack,
) -> None:
    async with echo_at_home(fresh_processes) as home:
        with udp_client(home.port) as client:
            await home.echoes(client)
            for node, module in zip((fresh_processes.edges[0], home.agent), FLOWS, strict=True):
                [worker] = flow_workers(node, module)
                os.kill(worker, signal.SIGKILL)
                await until(partial(is_replaced, node, module, worker))
                await home.echoes(client)


def flow_workers(node: Node[Program], module: str) -> list[int]:
    """Return the processes of a module that a program has started."""
    assert isinstance(node.program, OwnProcess), "it runs by itself"
    words = {pid: Path(f"/proc/{pid}/cmdline").read_text() for pid in node.program.workers()}
    return [pid for pid, text in words.items() if module in text]


async def is_replaced(node: Node[Program], module: str, worker: int) -> bool:
    """Whether a program has another worker than that one."""
    return flow_workers(node, module) not in ([], [worker])


async def test_an_upgrade_of_an_edge_costs_clients_of_udp_a_moment(fresh_processes: Stack) -> None:
    async with echo_at_home(fresh_processes) as home:
        with udp_client(home.port) as client:
            await home.echoes(client)
            old = fresh_processes.edges[0]
            environ = {**old.environ, "TOWONEL_EDGE_UPGRADE": "true"}
            program = await fresh_processes.runner.start("edge", environ)
            assert isinstance(old.program, OwnProcess)
            assert await old.program.wait() == 0
            fresh_processes.edges[0] = new = Node(program, old.port, old.health_port, environ)
            await ready(new)
            await home.echoes(client)

            await new.reaches(1, "towonel_edge_flows_total")


async def test_no_process_for_datagrams_runs_where_there_is_no_udp_service(
    fresh_processes: Stack, hostname: str
) -> None:
    agent = await fresh_processes.start_agent(await fresh_processes.invite(hostname))
    for node, module in zip((fresh_processes.edges[0], agent), FLOWS, strict=True):
        assert flow_workers(node, module) == []
