"""Client whose network goes away: a real edge notices, by what it does not acknowledge."""

import asyncio
import os

import pytest
from support.clients import client_hello
from support.network import FarMachine, far_machine
from support.ports import free_port
from support.scripted_server import serving
from support.stack import Stack, service, until

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a network namespace"),
]
NOTICED_S = 25.0  # 15 s without an acknowledgement, and the time between two looks


async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """An origin that says something every moment, whatever its client says."""
    while not writer.is_closing():
        writer.write(b"!")
        await writer.drain()
        await asyncio.sleep(0.05)


async def listen_on(stack: Stack, machine: FarMachine) -> int:
    """Have the edge take clients on our address of the far machine's link, too; return its port."""
    edge, port = stack.edges[0], free_port()
    assert await edge.program.stop() == 0
    edge.environ |= {
        "TOWONEL_EDGE_LISTEN_ADDR": f"{machine.near}:{port}",
        "TOWONEL_EDGE_SESSION_LISTEN_ADDR": f"127.0.0.1:{edge.port}",
    }
    await stack.restart(edge)
    return port


@pytest.mark.soak
async def test_a_client_whose_network_vanishes_is_no_connection_after_15_s(
    fresh_processes: Stack, hostname: str
) -> None:
    ended = "towonel_edge_connections_ended_total"
    with far_machine() as machine:
        port = await listen_on(fresh_processes, machine)
        async with serving(talk) as origin:
            token = await fresh_processes.invite(hostname)
            await fresh_processes.start_agent(token, service(hostname, origin))
            with machine.connect(port) as sock:
                sock.send(client_hello(hostname))
                await asyncio.get_running_loop().sock_recv(sock, 1)
                machine.vanish()

                async def is_noticed() -> bool:
                    return await fresh_processes.edges[0].metric(ended, code="client_timeout") == 1

                await until(is_noticed, NOTICED_S)
