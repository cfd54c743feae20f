"""TLS passthrough: a page of a service at home, seen by the clients people have."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from support import passthrough
from support.clients import Client
from support.origins import Certificates, CommandOrigin, Nginx
from support.stack import Stack, service

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(loop_scope="module", params=["lanes", "TLS lanes", "streams"])
async def stack(processes: Stack, request: pytest.FixtureRequest) -> AsyncIterator[Stack]:
    """A stack for each way that clients travel between edge and agent."""
    processes.way = request.param
    yield processes
    processes.way = "any"


def client_of(stack: Stack, certificates: Certificates, hostname: str) -> Client:
    return Client(stack.edge_port, certificates.client(), hostname)


async def test_the_certificate_a_client_sees_is_the_origins_own(
    stack: Stack, web: Nginx, certificates: Certificates, hostname: str
) -> None:
    await stack.start_agent(await stack.invite(hostname), service(hostname, web.plain))

    chain = web.folder.parent / f"{hostname}.crt"
    await passthrough.check_certificate(client_of(stack, certificates, hostname), chain)


async def test_curl_gets_the_page(
    stack: Stack, web: Nginx, certificates: Certificates, hostname: str
) -> None:
    await stack.start_agent(await stack.invite(hostname), service(hostname, web.plain))

    await passthrough.check_curl(client_of(stack, certificates, hostname), certificates)


async def test_openssl_completes_a_verified_handshake(
    stack: Stack, web: Nginx, certificates: Certificates, hostname: str
) -> None:
    await stack.start_agent(await stack.invite(hostname), service(hostname, web.plain))

    await passthrough.check_openssl(client_of(stack, certificates, hostname), certificates)


async def test_an_h2_client_runs_many_requests_on_one_connection(
    stack: Stack, web: Nginx, certificates: Certificates, hostname: str
) -> None:
    await stack.start_agent(await stack.invite(hostname), service(hostname, web.plain))

    await passthrough.check_many_requests(client_of(stack, certificates, hostname))


async def test_an_origin_that_reads_proxy_v2_learns_the_clients_address(
    stack: Stack, web: Nginx, certificates: Certificates, hostname: str
) -> None:
    token = await stack.invite(hostname)
    await stack.start_agent(token, service(hostname, web.proxied, proxy_protocol="v2"))

    await passthrough.check_proxied(client_of(stack, certificates, hostname))


async def test_a_wildcard_serves_one_level_and_an_exact_name_wins(
    stack: Stack,
    origin: CommandOrigin,
    web: Nginx,
    certificates: Certificates,
    hostname: str,
    domain: str,
) -> None:
    token = await stack.invite(f"*.{domain}")
    await stack.start_agent(
        token, service(f"*.{domain}", origin.port), service(hostname, web.plain)
    )

    assert await client_of(stack, certificates, hostname).get() == passthrough.PAGE
    assert await client_of(stack, certificates, f"b.{domain}").ask("name") == b"home\n"


async def test_names_with_an_underscore_are_served_by_a_wildcard_and_by_themselves(
    stack: Stack, origin: CommandOrigin, certificates: Certificates, domain: str
) -> None:
    token = await stack.invite(f"*.{domain}")
    published = (f"*.{domain}", f"c_d.{domain}")
    await stack.start_agent(token, *(service(name, origin.port) for name in published))

    names = (f"a_b.{domain}", f"c_d.{domain}")
    await passthrough.check_names(stack.edge_port, certificates, origin, *names)


async def test_a_name_that_nobody_serves_gets_the_alert_for_it(
    stack: Stack, origin: CommandOrigin, certificates: Certificates, hostname: str
) -> None:
    await stack.start_agent(await stack.invite(hostname), service(hostname, origin.port))

    stranger = client_of(stack, certificates, "nobody.example.eu")
    await passthrough.check_alert(stranger, certificates, "unrecognized name")


async def test_a_service_whose_agent_left_gets_an_alert_and_not_silence(
    stack: Stack, origin: CommandOrigin, certificates: Certificates, hostname: str
) -> None:
    agent = await stack.start_agent(await stack.invite(hostname), service(hostname, origin.port))
    await agent.program.stop()

    async with asyncio.timeout(20):
        client = client_of(stack, certificates, hostname)
        await passthrough.check_alert(client, certificates, "internal error")


async def test_an_origin_that_is_down_costs_an_alert_and_is_counted(
    stack: Stack, certificates: Certificates, hostname: str
) -> None:
    agent = await stack.start_agent(await stack.invite(hostname), service(hostname, 1))

    client = client_of(stack, certificates, hostname)
    await passthrough.check_alert(client, certificates, "internal error")
    await agent.reaches(1, "towonel_agent_stream_errors_total", reason="origin_refused")


async def test_an_agent_that_cannot_reach_its_origin_costs_a_retry_and_not_the_connection(
    stack: Stack, web: Nginx, certificates: Certificates, hostname: str
) -> None:
    token = await stack.invite(hostname)
    await stack.start_agent(token, service(hostname, 1))
    await stack.start_agent(token, service(hostname, web.plain))
    client = client_of(stack, certificates, hostname)

    pages = [await client.get() for _ in range(20)]

    assert pages == [passthrough.PAGE] * 20
    await stack.edges[0].reaches(1, "towonel_edge_retries_total", code="origin_refused")
