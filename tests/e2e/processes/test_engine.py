"""Both engines of the data plane in processes of their own, and where each says that it runs."""

from pathlib import Path
from typing import Any

import pytest
from support import plain_http
from support.clients import Client
from support.engine import BOTH
from support.origins import Certificates, CommandOrigin, digest, expected_digest
from support.programs import OwnProcess, Program
from support.stack import Node, Stack, running_stack, service, until

from towonel.relay.hop.choice import Engine

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.processes]
SIZE = 300_000
TOTALS = {
    "edge": ("towonel_edge_connections_served_total", "towonel_edge_info"),
    "agent": ("towonel_agent_clients_total", "towonel_agent_info"),
}


async def exchange(client: Client) -> str:
    """Echo short messages, and return the digest of a download."""
    async with client.connect() as (reader, writer):
        writer.write(b"echo\n")
        for number in range(20):
            writer.write(b"message %02d" % number)
            assert await reader.readexactly(10) == b"message %02d" % number
    async with client.connect() as (reader, writer):
        writer.write(f"source {SIZE}\n".encode())
        return await digest(reader, SIZE)


def modules_of(node: Node[Program]) -> list[bool]:
    """Whether each worker of a program has the compiled module in its memory."""
    assert isinstance(node.program, OwnProcess)
    maps = [Path(f"/proc/{pid}/maps").read_text() for pid in node.program.workers()]
    return ["/hop/_compiled." in each for each in maps]


async def check_what_is_said(node: Node[Program], name: str, engine: Engine) -> None:
    about: Any = (await plain_http.get(node.health_port, "/version")).json()
    served, info = TOTALS[name]

    assert about["engine"] == engine.value
    assert f'"engine": "{engine.value}"' in node.program.log()
    assert await node.metric(info, engine=engine.value, version=about["version"]) == 1
    await node.reaches(2, served, way="lane")


async def is_reported(stack: Stack, engine: Engine) -> bool:
    """Whether the hub tells which engine its edge runs."""
    async with stack.operator() as client:
        return [edge.engine for edge in (await client.edges.list()).edges] == [engine.value]


@pytest.mark.parametrize("engine", BOTH)
async def test_clients_are_carried_by_the_engine_that_is_set(
    engine: Engine,
    tmp_path: Path,
    origin: CommandOrigin,
    certificates: Certificates,
    hostname: str,
) -> None:
    environ: dict[str, Any] = {"TOWONEL_RELAY_ENGINE": engine.value}
    async with running_stack("processes", tmp_path, **environ) as stack:
        stack.way, (edge,), token = "lanes", stack.edges, await stack.invite(hostname)
        agent = await stack.start_agent(token, service(hostname, origin.port), **environ)
        client = Client(stack.edge_port, certificates.client(), hostname)

        assert await exchange(client) == expected_digest(SIZE)
        assert modules_of(edge) == modules_of(agent) == [engine is Engine.COMPILED]
        await check_what_is_said(edge, "edge", engine)
        await check_what_is_said(agent, "agent", engine)
        await until(lambda: is_reported(stack, engine))
        await stack.stop_agents()
