"""Settings of an agent in one file: its services come and go while it runs, and ports are published."""

import os
import signal
from pathlib import Path

import pytest
from support.clients import Client
from support.origins import Certificates, CommandOrigin
from support.ports import free_port
from support.programs import OwnProcess, Program
from support.stack import Node, Stack, until

pytestmark = pytest.mark.asyncio(loop_scope="module")


def write(file: Path, origin: int, port: int, *hostnames: str) -> None:
    services = [
        f'{{hostname = "{name}", origin = "127.0.0.1:{origin}", proxy_protocol = "none"}},'
        for name in hostnames
    ]
    new = file.with_suffix(".new")
    new.write_text(
        f"""
        services = [{"".join(services)}]
        [[tcp_services]]
        name = "ssh"
        origin = "127.0.0.1:22"
        listen_port = {port}
        """
    )
    new.replace(file)


def hang_up(agent: Node[Program]) -> None:
    assert isinstance(agent.program, OwnProcess)
    os.kill(agent.program.process.pid, signal.SIGHUP)


async def published(stack: Stack) -> set[str]:
    async with stack.operator() as client:
        return {service.key for service in (await client.services.list()).services}


async def test_services_of_a_file_of_settings_are_served_published_and_changed(
    stack: Stack,
    origin: CommandOrigin,
    certificates: Certificates,
    hostname: str,
    domain: str,
    tmp_path: Path,
) -> None:
    file, other, ports = tmp_path / "agent.toml", f"other.{domain}", (free_port(), free_port())
    old, new = (Client(stack.edge_port, certificates.client(), name) for name in (hostname, other))
    token = await stack.invite(hostname, other)
    write(file, origin.port, ports[0], hostname)
    agent = await stack.start_agent(
        token, TOWONEL_AGENT_SERVICES="", TOWONEL_AGENT_CONFIG=str(file)
    )
    await until(old.reaches_home)
    assert f"tcp:{ports[0]}" in await published(stack)
    write(file, origin.port, ports[1], hostname, other)
    hang_up(agent)
    await until(new.reaches_home)

    assert await old.reaches_home()
    assert {f"tcp:{port}" for port in ports} & await published(stack) == {f"tcp:{ports[1]}"}
    log = agent.program.log()
    assert [f'"port": {port}' in log for port in ports] == [True, True], log
