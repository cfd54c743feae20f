"""Certificates by ACME: a name that is published with terminate answers over HTTPS, and nobody did anything for it."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
import pytest_asyncio
from support.pebble import Pebble, pebble
from support.programs import Program
from support.stack import Node, Stack, running_stack, service, until

from towonel.api.certificates.items import CertificateItem
from towonel.client.hub import HubClient

pytestmark = pytest.mark.asyncio(loop_scope="module")
ORDERS = "towonel_edge_certificate_orders_total"
CERTIFICATES = "towonel_edge_certificates"


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\nconnection: close\r\n\r\nhello")
    await writer.drain()
    writer.close()


@dataclass
class Deployment:
    """Stack whose edge orders certificates, and an origin without TLS."""

    stack: Stack
    authority: Pebble
    origin: int

    @property
    def edge(self) -> Node[Program]:
        return self.stack.edges[0]

    async def publish(self, *names: str) -> None:
        published = [service(name, self.origin) | {"tls_mode": "terminate"} for name in names]
        await self.stack.start_agent(await self.stack.invite(*names), *published)

    async def fetch(self, name: str, trusted: ssl.SSLContext) -> bytes:
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", self.edge.port, ssl=trusted, server_hostname=name
        )
        writer.write(b"GET / HTTP/1.1\r\nhost: %s\r\n\r\n" % name.encode())
        answer = await reader.read()
        writer.close()
        return answer


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def deployment(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Deployment]:
    folder = tmp_path_factory.mktemp("certificates")
    async with running_stack("processes", folder) as stack:
        [edge] = stack.edges
        async with (
            pebble(folder / "pebble", edge.port) as authority,
            await asyncio.start_server(_answer, "127.0.0.1", 0) as origin,
        ):
            edge.environ |= {
                "TOWONEL_EDGE_TLS_ACME_EMAIL": "me@example.eu",
                "TOWONEL_EDGE_TLS_ACME_DIRECTORY": authority.directory,
                "TOWONEL_EDGE_TLS_ACME_ROOT": str(authority.root),
                "TOWONEL_EDGE_TLS_ACME_CHECK_DNS": "false",
                "TOWONEL_EDGE_TLS_ACME_PER_DOMAIN": "0",
            }
            await edge.program.stop()
            await stack.restart(edge)
            yield Deployment(stack, authority, origin.sockets[0].getsockname()[1])
            await stack.stop_agents()


async def test_a_new_name_answers_over_https_in_one_go(deployment: Deployment) -> None:
    trusted = await deployment.authority.clients()
    await deployment.publish("new.example.eu", "*.wild.example.eu")
    pages = [
        await deployment.fetch(name, trusted) for name in ("new.example.eu", "a.wild.example.eu")
    ]

    assert all(page.endswith(b"hello") for page in pages)
    assert await deployment.edge.metric(CERTIFICATES) >= 2
    assert await deployment.edge.metric("towonel_edge_certificate_next_expiry_seconds") > 0


async def test_a_restart_orders_nothing_and_serves_at_once(deployment: Deployment) -> None:
    trusted = await deployment.authority.clients()
    before = await deployment.edge.metric(CERTIFICATES)
    await deployment.publish("again.example.eu")
    await deployment.edge.reaches(before + 1, CERTIFICATES)
    await deployment.edge.program.stop()
    await deployment.stack.restart(deployment.edge)
    await until(deployment.stack.edges_are_up_to_date)
    agents = len(deployment.stack.agents)  # also those of tests before
    await deployment.edge.reaches(agents, "towonel_edge_active_sessions")
    await deployment.edge.reaches(before + 1, CERTIFICATES)
    page = await deployment.fetch("again.example.eu", trusted)

    assert page.endswith(b"hello")
    assert await deployment.edge.metric(ORDERS) == 0


@pytest.mark.parametrize("count", [12, pytest.param(200, marks=pytest.mark.soak)])
async def test_many_names_asked_for_at_once_get_a_certificate_each_and_none_twice(
    deployment: Deployment, count: int
) -> None:
    trusted = await deployment.authority.clients()
    before = await deployment.edge.metric(ORDERS, result="issued")
    names = [f"n{number}.of{count}.example.eu" for number in range(count)]
    await deployment.publish(*names)
    async with asyncio.TaskGroup() as tasks:
        fetches = [tasks.create_task(deployment.fetch(name, trusted)) for name in names]

    assert all(fetch.result().endswith(b"hello") for fetch in fetches)
    assert await deployment.edge.metric(ORDERS, result="issued") == before + count
    assert await deployment.edge.metric(ORDERS, result="failed") == 0


@dataclass
class Shown:
    """What a hub shows of a name's certificate."""

    hub: HubClient
    name: str

    async def find(self, state: str, other_than: str | None = None) -> CertificateItem | None:
        found = (await self.hub.certificates.list(hostname=self.name)).certificates
        items = (it for it in found if it.state == state and it.serial != other_than)
        return next(items, None)


@pytest.mark.soak  # edges report every ten seconds
async def test_the_hub_shows_a_certificate_and_has_it_renewed_and_revoked(
    deployment: Deployment,
) -> None:
    name, trusted = "shown.example.eu", await deployment.authority.clients()
    await deployment.publish(name)
    async with deployment.stack.operator() as hub:
        shown = Shown(hub, name)
        await until(lambda: shown.find("valid"), within_s=30)
        first = await shown.find("valid")
        assert first is not None
        assert (first.source, "Pebble" in first.issuer) == ("acme", True)
        await hub.certificates.renew(name)
        await until(lambda: shown.find("valid", first.serial), within_s=30)
        await hub.certificates.revoke(name)
        await until(lambda: shown.find("failed"), within_s=30)
        with pytest.raises(ssl.SSLError):
            await deployment.fetch(name, trusted)
        await hub.certificates.renew(name)
        await until(lambda: shown.find("valid"), within_s=30)

    assert (await deployment.fetch(name, trusted)).endswith(b"hello")
