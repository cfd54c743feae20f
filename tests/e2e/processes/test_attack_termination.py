"""Attacks of clients on an edge that ends their TLS: whoever shakes hands half-way, or over and over, delays nobody."""

import asyncio
import contextlib
import shutil
import socket
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio
from support.attack import withstanding
from support.clients import Client, client_hello
from support.origins import Certificates
from support.stack import Stack, running_stack, service, until
from support.web_origin import web_origin

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.attack, pytest.mark.soak]
NAME = "app.example.eu"
HALF_DONE = 5_000
ADDRESSES = 50
BYTES_EACH = 96 * 1024  # of OpenSSL, for a handshake that has begun
FLOOD_S = 10.0
FLOODERS = 8


@dataclass(frozen=True)
class Victim:
    """Edge that ends the TLS of a name."""

    stack: Stack
    certificates: Certificates

    @property
    def honest(self) -> Client:
        return Client(self.stack.edge_port, self.certificates.client(), NAME)

    async def serve(self) -> None:
        assert await self.honest.get("/bytes/5") == bytes(range(5))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def victim(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Victim]:
    folder = tmp_path_factory.mktemp("attacked")
    certificates = Certificates(folder)
    put_certificate(certificates, folder / "state" / "certs")
    async with running_stack("processes", folder) as stack, web_origin() as web:
        published = {**service(NAME, web.port), "tls_mode": "terminate"}
        await stack.start_agent(await stack.invite(NAME), published)
        yield Victim(stack, certificates)
        await stack.stop_agents()


def put_certificate(certificates: Certificates, folder: Path) -> None:
    folder.mkdir(mode=0o700, parents=True)
    chain, key = certificates.files(NAME)
    shutil.copy(chain, folder)
    (folder / key.name).touch(0o600)
    (folder / key.name).write_bytes(key.read_bytes())


async def begin_many(port: int, hello: bytes) -> contextlib.ExitStack:
    """Begin handshakes from many addresses."""
    loop, sockets = asyncio.get_running_loop(), contextlib.ExitStack()
    for number in range(HALF_DONE):
        sock = sockets.enter_context(socket.socket())
        sock.setblocking(False)
        sock.bind((f"127.0.4.{1 + number % ADDRESSES}", 0))
        await loop.sock_connect(sock, ("127.0.0.1", port))
        await loop.sock_sendall(sock, hello)
    return sockets


@pytest.mark.timeout(120)
async def test_thousands_of_half_done_handshakes_disturb_nobody(victim: Victim) -> None:
    [edge] = victim.stack.edges
    hello = client_hello(NAME)
    name, code = "towonel_edge_connections_refused_total", "client_timeout"
    before = await edge.metric(name, code=code)

    async def are_over() -> bool:
        return await edge.metric(name, code=code) >= before + HALF_DONE // 2

    async with withstanding(edge.program, victim.serve, memory=HALF_DONE * BYTES_EACH):
        with await begin_many(victim.stack.edge_port, hello):
            await until(are_over, within_s=60)


async def shake_hands_over_and_over(port: int, context: ssl.SSLContext) -> int:
    """Shake hands and leave, from one address, and return how often."""
    loop, count = asyncio.get_running_loop(), 0
    until_s = loop.time() + FLOOD_S
    while loop.time() < until_s:
        with contextlib.suppress(OSError):
            _, writer = await asyncio.open_connection(
                "127.0.0.1", port, ssl=context, server_hostname=NAME, local_addr=("127.0.0.2", 0)
            )
            writer.transport.abort()
            count += 1
    return count


@pytest.mark.timeout(120)
async def test_a_flood_of_handshakes_of_one_source_disturbs_nobody(victim: Victim) -> None:
    [edge] = victim.stack.edges
    port, context = victim.stack.edge_port, victim.certificates.client()
    async with withstanding(edge.program, victim.serve), asyncio.TaskGroup() as tasks:
        floods = [
            tasks.create_task(shake_hands_over_and_over(port, context)) for _ in range(FLOODERS)
        ]

    assert sum(each.result() for each in floods) > FLOODERS
