"""Services that change while an agent runs: no connection of what stays notices, and a mistake changes nothing."""

import json
import os
import signal
from functools import partial
from pathlib import Path

import pytest
from support.clients import Client
from support.origins import Certificates, CommandOrigin
from support.programs import OwnProcess, Program
from support.stack import Node, Stack, service, until

pytestmark = pytest.mark.asyncio(loop_scope="module")


def write(file: Path, port: int, *hostnames: str) -> None:
    """Put a new file in the place of the old one."""
    new = file.with_suffix(".new")
    new.write_text(json.dumps([service(name, port) for name in hostnames]))
    new.replace(file)


async def start_agent(stack: Stack, file: Path, *hostnames: str) -> Node[Program]:
    """Start an agent whose services are in a file."""
    token = await stack.invite(*hostnames)
    return await stack.start_agent(
        token, TOWONEL_AGENT_SERVICES="", TOWONEL_AGENT_SERVICES_FILE=str(file)
    )


def hang_up(agent: Node[Program]) -> None:
    assert isinstance(agent.program, OwnProcess)
    os.kill(agent.program.process.pid, signal.SIGHUP)


async def spoil(agent: Node[Program], file: Path) -> None:
    """Give an agent a file with a mistake, and wait until it says so."""
    file.write_text("[{]")
    hang_up(agent)
    await until(lambda: "settings.refused" in agent.program.log())


async def is_cut_off(client: Client) -> bool:
    return not await client.reaches_home()


async def test_services_come_and_go_beside_a_connection_of_one_that_stays(
    stack: Stack,
    origin: CommandOrigin,
    certificates: Certificates,
    hostname: str,
    domain: str,
    tmp_path: Path,
) -> None:
    names, file = (hostname, f"old.{domain}", f"new.{domain}"), tmp_path / "services.json"
    staying, old, new = (Client(stack.edge_port, certificates.client(), name) for name in names)
    write(file, origin.port, hostname, old.hostname)
    agent = await start_agent(stack, file, *names)
    await until(old.reaches_home)
    async with staying.connect() as (reader, writer):
        writer.write(b"echo\nhello")
        await reader.readexactly(5)
        write(file, origin.port, hostname, new.hostname)
        hang_up(agent)
        await until(new.reaches_home)
        await until(partial(is_cut_off, old))
        await spoil(agent, file)
        writer.write(b"again")

        assert await reader.readexactly(5) == b"again"
        assert await new.reaches_home()


async def test_a_file_that_changes_is_read_without_being_asked_for(
    processes: Stack,
    origin: CommandOrigin,
    certificates: Certificates,
    hostname: str,
    domain: str,
    tmp_path: Path,
) -> None:
    file, other = tmp_path / "services.json", f"other.{domain}"
    write(file, origin.port, hostname)
    await start_agent(processes, file, hostname, other)
    write(file, origin.port, other)

    await until(Client(processes.edge_port, certificates.client(), other).reaches_home)


async def test_a_service_that_moves_is_served_where_it_is_and_its_clients_stay_where_they_were(
    stack: Stack,
    origin: CommandOrigin,
    certificates: Certificates,
    hostname: str,
    tmp_path: Path,
) -> None:
    file = tmp_path / "services.json"
    client = Client(stack.edge_port, certificates.client(), hostname)
    write(file, origin.port, hostname)
    agent = await start_agent(stack, file, hostname)
    await until(client.reaches_home)

    async with client.connect() as (reader, writer):
        write(file, 1, hostname)  # where nothing listens
        hang_up(agent)
        await until(partial(is_cut_off, client))
        writer.write(b"echo\nhello")
        assert await reader.readexactly(5) == b"hello"
        write(file, origin.port, hostname)
        hang_up(agent)
        await until(client.reaches_home)
