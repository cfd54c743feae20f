"""Networks of clients: a service that says whom it serves, and says otherwise while its agent runs."""

import json
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest
from support.clients import Client
from support.origins import Certificates, CommandOrigin
from support.stack import Stack, service, until

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.processes]
REFUSED = "towonel_edge_connections_refused_total"


@dataclass(frozen=True)
class ServicesFile:
    """File of one service, which an agent reads again and again."""

    path: Path
    service: dict[str, str]

    def publish(self, **cidrs: list[str]) -> None:
        self.path.write_text(json.dumps([{**self.service, **cidrs}]))


@pytest.fixture
async def file(
    processes: Stack, origin: CommandOrigin, hostname: str, tmp_path: Path
) -> ServicesFile:
    """File of the services of an agent that runs, with one that serves this machine only."""
    made = ServicesFile(tmp_path / "services.json", service(hostname, origin.port))
    made.publish(allow_cidrs=["127.0.0.0/8"])
    await processes.start_agent(
        await processes.invite(hostname),
        TOWONEL_AGENT_SERVICES="",
        TOWONEL_AGENT_SERVICES_FILE=str(made.path),
    )
    return made


async def test_a_service_serves_the_networks_that_it_names_now_and_clients_there_stay(
    processes: Stack, file: ServicesFile, certificates: Certificates, hostname: str
) -> None:
    client = Client(processes.edge_port, certificates.client(), hostname)
    assert await client.reaches_home()
    async with client.connect() as (reader, writer):
        writer.write(b"echo\nhello")
        assert await reader.readexactly(5) == b"hello"
        file.publish(allow_cidrs=["127.0.0.0/8"], deny_cidrs=["127.0.0.1"])
        await until(partial(is_refused, client))
        writer.write(b"still here")
        assert await reader.readexactly(10) == b"still here"
    file.publish()
    await until(client.reaches_home)

    assert await processes.edges[0].metric(REFUSED, code="client_not_allowed") > 0


async def is_refused(client: Client) -> bool:
    return not await client.reaches_home()
