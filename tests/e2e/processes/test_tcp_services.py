"""Raw TCP services with the programs that people run behind them, whichever way clients travel."""

import asyncio
import hashlib
import json
import os
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from ipaddress import ip_address
from itertools import count
from pathlib import Path

import pytest
import pytest_asyncio
from support import postgres
from support.clients import run
from support.origins import listening
from support.polling import pauses
from support.ports import free_port, is_free
from support.postgres import Postgres
from support.programs import Program
from support.redis_server import redis_server
from support.stack import Node, Stack, Way, until
from support.tcp_origins import SshServer, iperf_server, plain_origin, port_service, ssh_server

from towonel.api.ports import ReservationIn
from towonel.client.hub import HubClient
from towonel.wire import proxy
from towonel.wire.proxy import Address

pytestmark = pytest.mark.asyncio(loop_scope="module")
_numbers = count()
WAYS: tuple[Way, ...] = ("lanes", "streams")


@dataclass
class Home:
    """Programs at home, and the public port of each."""

    stack: Stack
    folder: Path
    ssh: SshServer
    redis: int
    iperf: int
    sql: Postgres
    ports: dict[str, int] = field(default_factory=dict)

    def services(self) -> list[dict[str, object]]:
        """The agent's services, each on a port of its own."""
        origins = {
            "ssh": self.ssh.port,
            "redis": self.redis,
            "iperf": self.iperf,
            "sql": self.sql.port,
        }
        self.ports |= {name: free_port() for name in origins}
        return [port_service(name, port, self.ports[name]) for name, port in origins.items()]


async def start_agent(stack: Stack, *services: dict[str, object]) -> Node[Program]:
    """Start an agent of a tenant of its own, which has TCP services only."""
    token = await stack.invite(f"t{next(_numbers)}.example.eu")
    return await stack.start_agent(token, TOWONEL_AGENT_TCP_SERVICES=json.dumps(services))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def programs(
    process_stack: Stack, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Home]:
    folder = tmp_path_factory.mktemp("programs")
    with postgres.running() as sql:
        async with (
            ssh_server(folder / "ssh") as ssh,
            redis_server(folder) as redis,
            iperf_server() as iperf,
        ):
            yield Home(process_stack, folder, ssh, redis.port, iperf, sql)


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=WAYS)
async def home(programs: Home, request: pytest.FixtureRequest) -> AsyncIterator[Home]:
    """Programs behind one agent, whose clients come one way."""
    stack = programs.stack
    stack.way = request.param
    await start_agent(stack, *programs.services())
    yield programs
    await stack.stop_agents()
    stack.way = "any"


async def test_openssh_runs_commands_and_carries_a_file_both_ways(home: Home) -> None:
    data = os.urandom(3_000_000)
    command = home.ssh.command(home.ports["ssh"], "tee", "/dev/null")
    process = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    output, _ = await process.communicate(data)

    assert process.returncode == 0
    assert hashlib.sha256(output).digest() == hashlib.sha256(data).digest()


async def test_psql_reads_what_the_server_makes(home: Home) -> None:
    query = "select md5(string_agg(i::text, ',')), count(*) from generate_series(1, 50000) i"
    results = [
        await run("psql", f"postgresql://towonel:secret@127.0.0.1:{port}/postgres", "-tAc", query)
        for port in (home.sql.port, home.ports["sql"])
    ]

    assert results[0] == results[1]
    assert results[0][1].strip().endswith("|50000")


async def test_redis_cli_sets_and_gets(home: Home) -> None:
    port, value = str(home.ports["redis"]), "x" * 100_000
    assert await run("redis-cli", "-p", port, "set", "key", value) == (0, "OK\n")
    assert await run("redis-cli", "-p", port, "get", "key") == (0, f"{value}\n")


@pytest.mark.parametrize("direction", [(), ("-R",)], ids=["up", "down"])
async def test_iperf3_measures_both_ways(home: Home, direction: tuple[str, ...]) -> None:
    address = ("-c", "127.0.0.1", "-p", str(home.ports["iperf"]))
    code, output = await run("iperf3", *address, "-n", "8M", "-J", *direction)
    report = json.loads(output)

    assert code == 0, report.get("error")
    assert report["end"]["sum_sent"]["bytes"] >= 8 * 1024 * 1024
    # Of an upload the server counts what has come when the client says that it is done: the rest is on its way.
    assert report["end"]["sum_received"]["bytes"] > 0


async def test_clients_come_the_way_that_the_agent_takes(home: Home) -> None:
    edge, stream = home.stack.edges[0], home.stack.way == "streams"
    before = await edge.metric("towonel_edge_connections_served_total", way="lane")
    way = "stream" if stream else "tls_lane"
    served = await edge.metric("towonel_edge_connections_served_total", way=way)
    await run("redis-cli", "-p", str(home.ports["redis"]), "ping")

    await edge.reaches(served + 1, "towonel_edge_connections_served_total", way=way)
    assert await edge.metric("towonel_edge_connections_served_total", way="lane") == before


async def greeting(port: int) -> bytes:
    """Return what the service of a port says to a client that ends without a word, but for its last one."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write_eof()
    said = await reader.read()
    writer.close()
    return said.removesuffix(b"end")


async def test_either_side_may_end_first_and_the_other_is_heard_out(processes: Stack) -> None:
    async with plain_origin(b"banner") as origin:
        port = free_port()
        await start_agent(processes, port_service("plain", origin.port, port))
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        assert await reader.readexactly(6) == b"banner"
        writer.write(b"all of it")
        writer.write_eof()
        assert await reader.read() == b"all of itend"
        writer.close()


def addresses_in(data: bytearray) -> tuple[Address, Address] | None:
    """Return the addresses of the PROXY header that bytes begin with."""
    found = proxy.read(bytes(data))
    return None if found is None or found[0] is None else (found[0].source, found[0].destination)


async def test_an_origin_that_asks_for_it_hears_who_the_client_is(processes: Stack) -> None:
    async with plain_origin(b"") as origin:
        port = free_port()
        service = port_service("proxied", origin.port, port, proxy_protocol="v2")
        await start_agent(processes, service)
        with socket.create_connection(("127.0.0.1", port)) as client:
            name = client.getsockname()
            expected = Address(ip_address(name[0]), name[1]), Address(ip_address(name[0]), port)
            await until(lambda: expected in map(addresses_in, origin.received))


async def test_a_client_that_is_idle_for_too_long_is_ended(processes: Stack) -> None:
    async with plain_origin(b"x") as origin:
        port = free_port()
        service = port_service("idle", origin.port, port, idle_timeout_secs=1)
        await start_agent(processes, service)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        assert await reader.readexactly(1) == b"x"
        with pytest.raises(ConnectionResetError):
            await asyncio.wait_for(reader.readexactly(1), 20)
        writer.close()


async def codes_become(operator: HubClient, key: str, code: str) -> None:
    """Wait until the one edge says so of its listener."""
    for pause_s in pauses():
        if [each.code for each in (await operator.services.get(key)).listeners] == [code]:
            return
        await asyncio.sleep(pause_s)


async def test_a_busy_port_is_seen_by_its_owner_and_taken_once_it_is_free(
    processes: Stack, hostname: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = int(other.getsockname()[1])
        async with plain_origin(b"mine") as origin:
            token = await processes.invite(hostname)
            services = json.dumps([port_service("busy", origin.port, port)])
            await processes.start_agent(token, TOWONEL_AGENT_TCP_SERVICES=services)
            async with processes.operator() as operator, asyncio.timeout(30):
                key = f"tcp:{port}"
                await codes_become(operator, key, "port_in_use")
                other.close()
                await listening(port)
                assert await greeting(port) == b"mine"


async def test_a_port_of_the_tenants_own_is_given_where_it_asks_for_any(
    processes: Stack, hostname: str
) -> None:
    invite, port = await processes.new_invite(hostname), free_port()
    async with processes.operator() as operator, plain_origin(b"auto") as origin:
        await operator.ports.reserve(
            ReservationIn(tenant_id=invite.tenant_id, protocol="tcp", first_port=port)
        )
        services = json.dumps([port_service("any", origin.port, "auto")])
        await processes.start_agent(invite.token, TOWONEL_AGENT_TCP_SERVICES=services)
        await listening(port)
        assert await greeting(port) == b"auto"


async def test_a_client_is_served_by_another_agent_where_the_first_ones_origin_is_down(
    processes: Stack, hostname: str
) -> None:
    token, port = await processes.invite(hostname), free_port()
    async with plain_origin(b"up") as origin:
        for where in (1, origin.port):  # one of which nothing listens on
            services = json.dumps([port_service("two", where, port)])
            await processes.start_agent(token, TOWONEL_AGENT_TCP_SERVICES=services)
        await listening(port)
        for _ in range(10):
            assert await greeting(port) == b"up"


async def test_a_port_is_left_when_nobody_publishes_it_any_more(
    processes: Stack, hostname: str
) -> None:
    token, port = await processes.invite(hostname), free_port()
    async with plain_origin(b"x") as origin:
        services = json.dumps([port_service("gone", origin.port, port)])
        await processes.start_agent(token, TOWONEL_AGENT_TCP_SERVICES=services)
        await listening(port)
        await processes.start_agent(token)  # of the same group, which publishes nothing
        await until(lambda: is_free(port))
