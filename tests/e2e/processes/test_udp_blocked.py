"""UDP blocked between agent and edge: the session goes over TCP, and clients over lanes, until UDP is back.

The tests of passthrough share one agent here: it takes five seconds until one gives up on UDP.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from typing import Any

import pytest
import pytest_asyncio
from support import passthrough, plain_http
from support.clients import Client
from support.commands import CommandedHub
from support.firewall import Firewall
from support.origins import (
    Certificates,
    CommandOrigin,
    Nginx,
    command_origin,
    digest,
    expected_digest,
    nginx,
)
from support.ports import free_port
from support.programs import Program
from support.stack import Node, Stack, running_stack, service, until

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.processes,
    pytest.mark.xdist_group("test_udp_blocked"),
]
MIB = 1024 * 1024
DOMAIN = "blocked.example.eu"
WEB, PROXIED, DOWN = f"web.{DOMAIN}", f"proxied.{DOMAIN}", f"down.{DOMAIN}"


@dataclass(frozen=True)
class Behind:
    """Stack whose edge is behind a firewall, for its agents."""

    stack: Stack
    wall: Firewall
    web: Nginx
    origin: CommandOrigin
    certificates: Certificates

    def client(self, hostname: str) -> Client:
        return Client(self.stack.edge_port, self.certificates.client(), hostname)

    async def status(self) -> dict[str, Any]:
        """Return what `towonel status` tells."""
        hub = CommandedHub(self.stack.hub_url, self.stack.folder)
        return await asyncio.to_thread(hub.json_of, "status")

    async def start_agent(self, hostname: str, mode: str, *, wait: bool = True) -> Node[Program]:
        token = await self.stack.invite(hostname)
        to_origin = service(hostname, self.origin.port)
        agent = await self.stack.start_agent(token, to_origin, wait=wait, TOWONEL_AGENT_LANES=mode)
        if wait:
            await agent.reaches(2, "towonel_agent_lanes", state="idle")
        return agent


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def behind(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Behind]:
    folder, port = tmp_path_factory.mktemp("b"), free_port()
    certificates = Certificates(folder)
    names = (f"*.{DOMAIN}", "*.example.eu")
    of_origin = certificates.server(*reversed(names))
    address = f"127.0.0.1:{port}"
    async with (
        nginx(folder / "nginx", certificates, *names) as web,
        command_origin("home", of_origin) as origin,
        running_stack("processes", folder, TOWONEL_EDGE_ADVERTISED_ADDRESSES=address) as stack,
    ):
        wall = Firewall(stack.edge_port)
        async with wall.run(port):
            yield Behind(stack, wall, web, origin, certificates)
            await stack.stop_agents()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def agent(behind: Behind) -> AsyncIterator[Node[Program]]:
    """An agent of all scenarios, which has no way but TCP; and no client came otherwise."""
    web, origin = behind.web, behind.origin.port
    services = [
        service(WEB, web.plain),
        service(PROXIED, web.proxied, proxy_protocol="v2"),
        service(DOWN, 1),
        *(service(name, origin) for name in (f"*.{DOMAIN}", f"c_d.{DOMAIN}")),
    ]
    token = await behind.stack.invite(f"*.{DOMAIN}")
    made = await behind.stack.start_agent(token, *services)
    await made.reaches(2, "towonel_agent_lanes", state="idle")
    yield made
    assert await made.metric("towonel_agent_links_by_tcp") == 1
    assert await made.metric("towonel_agent_clients_total", way="stream") == 0
    assert behind.wall.dropped > 0


async def test_a_client_sees_the_origins_own_certificate(
    behind: Behind, agent: Node[Program]
) -> None:
    chain = behind.web.folder.parent / f"any.{DOMAIN}.crt"
    await passthrough.check_certificate(behind.client(WEB), chain)


async def test_curl_and_openssl_are_served(behind: Behind, agent: Node[Program]) -> None:
    await passthrough.check_curl(behind.client(WEB), behind.certificates)
    await passthrough.check_openssl(behind.client(WEB), behind.certificates)


async def test_many_requests_run_on_one_connection(behind: Behind, agent: Node[Program]) -> None:
    await passthrough.check_many_requests(behind.client(WEB))


async def test_an_origin_learns_the_clients_address(behind: Behind, agent: Node[Program]) -> None:
    await passthrough.check_proxied(behind.client(PROXIED))


async def test_wildcards_serve_what_no_exact_name_does(
    behind: Behind, agent: Node[Program]
) -> None:
    names = (f"b.{DOMAIN}", f"a_b.{DOMAIN}", f"c_d.{DOMAIN}")
    port = behind.stack.edge_port

    await passthrough.check_names(port, behind.certificates, behind.origin, *names)
    assert await behind.client(WEB).get() == passthrough.PAGE


async def test_who_gets_no_service_gets_an_alert(behind: Behind, agent: Node[Program]) -> None:
    certificates = behind.certificates
    stranger = behind.client("nobody.example.eu")

    await passthrough.check_alert(stranger, certificates, "unrecognized name")
    await passthrough.check_alert(behind.client(DOWN), certificates, "internal error")
    await agent.reaches(1, "towonel_agent_stream_errors_total", reason="origin_refused")


async def test_the_agent_and_its_edge_say_why_there_is_no_udp(
    behind: Behind, agent: Node[Program]
) -> None:
    async def is_told() -> bool:
        status = await behind.status()
        return bool(status["agents_by_tcp"] == status["sessions_by_lane"] == 1)

    ready = (await plain_http.get(agent.health_port, "/readyz")).text

    assert "1 of 1 links go over TCP" in ready
    assert "is UDP blocked?" in ready
    await until(is_told)
    assert await behind.stack.edges[0].metric("towonel_edge_sessions_by_tcp") == 1


async def test_bulk_comes_whole(behind: Behind, agent: Node[Program]) -> None:
    async with behind.client(f"b.{DOMAIN}").connect() as (reader, writer):
        writer.write(f"source {8 * MIB}\n".encode())

        assert await digest(reader, 8 * MIB) == expected_digest(8 * MIB)


async def test_tls_lanes_work_too_and_a_service_whose_agent_left_gets_an_alert(
    behind: Behind,
) -> None:
    name = "left.example.eu"
    agent, client = await behind.start_agent(name, "tls"), behind.client(name)
    answers = [await client.ask("name") for _ in range(10)]
    await agent.reaches(10, "towonel_agent_clients_total", way="tls_lane")
    await agent.program.stop()

    assert answers == [b"home\n"] * 10
    await passthrough.check_alert(client, behind.certificates, "internal error")


async def has_failed(agent: Node[Program]) -> bool:
    """Whether an agent has given up on an edge once; it may be starting yet."""
    rejected = "towonel_agent_edge_connections_rejected_total"
    with contextlib.suppress(OSError):
        return await agent.metric(rejected, reason="session_lost") > 0
    return False


async def test_an_agent_without_lanes_has_no_way_and_says_so(
    behind: Behind, agent: Node[Program]
) -> None:
    async def is_alone() -> bool:
        return bool((await behind.status())["agents_live"] == 1)

    name = "off.example.eu"
    await until(is_alone)
    without = await behind.start_agent(name, "off", wait=False)
    await until(partial(has_failed, without))
    ready = await plain_http.get(without.health_port, "/readyz")

    assert ready.status_code == 503
    assert "is UDP blocked? Over TCP it needs lanes, and TOWONEL_AGENT_LANES is off" in ready.text
    assert await is_alone()
    await passthrough.check_alert(behind.client(name), behind.certificates, "internal error")


@pytest.mark.soak
async def test_an_agent_that_cannot_reach_its_origin_costs_a_retry(
    behind: Behind,
) -> None:
    name = "retry.example.eu"
    token = await behind.stack.invite(name)
    async with asyncio.TaskGroup() as tasks:
        for port in (1, behind.web.plain):
            tasks.create_task(behind.stack.start_agent(token, service(name, port)))
    pages = [await behind.client(name).get() for _ in range(20)]

    assert pages == [passthrough.PAGE] * 20
    await behind.stack.edges[0].reaches(1, "towonel_edge_retries_total", code="origin_refused")


async def read_slowly(reader: asyncio.StreamReader, seconds: float) -> bytes:
    """Read a little now and then for so long."""
    loop = asyncio.get_running_loop()
    data, end = bytearray(), loop.time() + seconds
    while loop.time() < end:
        data += await reader.readexactly(MIB // 64)
        await asyncio.sleep(0.05)
    return bytes(data)


@pytest.mark.soak
@pytest.mark.parametrize("mode", ["auto", "tls"])
async def test_a_download_over_a_lane_outlives_a_minute_without_udp(
    behind: Behind, mode: str
) -> None:
    name, wall, size = f"bulk-{mode}.example.eu", behind.wall, 64 * MIB
    wall.passes_udp = True
    agent = await behind.start_agent(name, mode)
    async with behind.client(name).connect() as (reader, writer):
        writer.write(f"source {size}\n".encode())
        wall.passes_udp = False
        found = await read_slowly(reader, 60)
        assert await agent.metric("towonel_agent_links_by_tcp") == 1
        wall.passes_udp = True
        found += await reader.readexactly(size - len(found))
    wall.passes_udp = False

    assert sha256(found).hexdigest() == expected_digest(size)
