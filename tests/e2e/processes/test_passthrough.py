"""TLS passthrough: a page of a service at home, seen by the clients people have.

An agent of each way that clients travel serves what they have in common.
"""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
import pytest_asyncio
from support import passthrough
from support.clients import Client
from support.origins import Certificates, CommandOrigin, Nginx, command_origin, nginx
from support.programs import Program
from support.stack import Node, Stack, Way, service

pytestmark = pytest.mark.asyncio(loop_scope="module")
WAYS: tuple[Way, ...] = ("lanes", "TLS lanes", "streams")
OTHERS = "others.example.eu"


@dataclass(frozen=True)
class Home:
    """Origins of a domain, and the stack that their clients travel through."""

    stack: Stack
    domain: str
    web: Nginx
    origin: CommandOrigin
    certificates: Certificates

    def name(self, label: str) -> str:
        return f"{label}.{self.domain}"

    def client(self, label: str) -> Client:
        return self.client_of(self.name(label))

    def client_of(self, hostname: str) -> Client:
        return Client(self.stack.edge_port, self.certificates.client(), hostname)

    async def start_agents(self, hostname: str, *ports: int) -> list[Node[Program]]:
        """Start an agent of a tenant of its own for each of these ports."""
        token = await self.stack.invite(hostname)
        return [await self.stack.start_agent(token, service(hostname, port)) for port in ports]


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=WAYS)
async def home(
    process_stack: Stack, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> AsyncIterator[Home]:
    """What there is for clients of one way, and an agent that serves it."""
    folder = tmp_path_factory.mktemp("home")
    domain = f"way{WAYS.index(request.param)}.example.eu"
    certificates, process_stack.way = Certificates(folder), request.param
    names = (f"*.{domain}", f"*.{OTHERS}")
    async with (
        nginx(folder / "nginx", certificates, *names) as web,
        command_origin("home", certificates.server(*reversed(names))) as origin,
    ):
        yield Home(process_stack, domain, web, origin, certificates)
    await process_stack.stop_agents()
    process_stack.way = "any"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def agent(home: Home) -> Node[Program]:
    published = [
        service(home.name("web"), home.web.plain),
        service(home.name("proxied"), home.web.proxied, proxy_protocol="v2"),
        service(home.name("down"), 1),
        *(service(home.name(label), home.origin.port) for label in ("*", "c_d")),
    ]
    return await home.stack.start_agent(await home.stack.invite(home.name("*")), *published)


async def test_the_certificate_a_client_sees_is_the_origins_own(
    home: Home, agent: Node[Program]
) -> None:
    chain = home.web.folder.parent / f"any.{home.domain}.crt"
    await passthrough.check_certificate(home.client("web"), chain)


async def test_curl_gets_the_page(home: Home, agent: Node[Program]) -> None:
    await passthrough.check_curl(home.client("web"), home.certificates)


async def test_openssl_completes_a_verified_handshake(home: Home, agent: Node[Program]) -> None:
    await passthrough.check_openssl(home.client("web"), home.certificates)


async def test_an_h2_client_runs_many_requests_on_one_connection(
    home: Home, agent: Node[Program]
) -> None:
    await passthrough.check_many_requests(home.client("web"))


async def test_an_origin_that_reads_proxy_v2_learns_the_clients_address(
    home: Home, agent: Node[Program]
) -> None:
    await passthrough.check_proxied(home.client("proxied"))


async def test_a_wildcard_serves_one_level_and_an_exact_name_wins(
    home: Home, agent: Node[Program]
) -> None:
    assert await home.client("web").get() == passthrough.PAGE
    assert await home.client("b").ask("name") == b"home\n"
    await passthrough.check_alert(home.client("a.b"), home.certificates, "unrecognized name")


async def test_names_with_an_underscore_are_served_by_a_wildcard_and_by_themselves(
    home: Home, agent: Node[Program]
) -> None:
    names = (home.name("a_b"), home.name("c_d"))
    await passthrough.check_names(home.stack.edge_port, home.certificates, home.origin, *names)


async def test_a_name_that_nobody_serves_gets_the_alert_for_it(
    home: Home, agent: Node[Program]
) -> None:
    stranger = home.client_of("nobody.example.eu")
    await passthrough.check_alert(stranger, home.certificates, "unrecognized name")


async def test_an_origin_that_is_down_costs_an_alert_and_is_counted(
    home: Home, agent: Node[Program]
) -> None:
    await passthrough.check_alert(home.client("down"), home.certificates, "internal error")
    await agent.reaches(1, "towonel_agent_stream_errors_total", reason="origin_refused")


async def test_a_service_whose_agent_left_gets_an_alert_and_not_silence(
    home: Home, hostname: str
) -> None:
    (left,) = await home.start_agents(hostname, home.origin.port)
    await left.program.stop()

    async with asyncio.timeout(20):
        client = home.client_of(hostname)
        await passthrough.check_alert(client, home.certificates, "internal error")


async def test_an_agent_that_cannot_reach_its_origin_costs_a_retry_and_not_the_connection(
    home: Home,
) -> None:
    name, edge = f"retry-{home.domain.partition('.')[0]}.{OTHERS}", home.stack.edges[0]
    retries = {"name": "towonel_edge_retries_total", "code": "origin_refused"}
    before = await edge.metric(**retries)
    await home.start_agents(name, 1, home.web.plain)

    pages = [await home.client_of(name).get() for _ in range(20)]

    assert pages == [passthrough.PAGE] * 20
    await edge.reaches(before + 1, **retries)
