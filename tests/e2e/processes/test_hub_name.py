"""The hub's own name: the edge answers it, and the hub knows its clients by their addresses."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
import trustme
from support.ports import free_port
from support.programs import OwnProcess
from support.stack import Stack, running_stack, service, until

pytestmark = pytest.mark.asyncio(loop_scope="module")
NAME = "hub.example.eu"
HTTP_PORT = free_port()
WRONG_KEY = (
    b"GET /v1/invites HTTP/1.1\r\nhost: hub.example.eu\r\nauthorization: Bearer wrong\r\n"
    b"x-forwarded-for: 192.0.2.1\r\nconnection: close\r\n\r\n"
)


@pytest.fixture(scope="module")
def trusted() -> trustme.CA:
    return trustme.CA()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stack(
    tmp_path_factory: pytest.TempPathFactory, trusted: trustme.CA
) -> AsyncIterator[Stack]:
    folder = tmp_path_factory.mktemp("hub-name")
    write_certificate(folder / "state" / "certs", trusted)
    environ = {
        "TOWONEL_HUB_PUBLIC_URL": f"https://{NAME}",
        "TOWONEL_EDGE_HTTP_LISTEN_ADDR": f"127.0.0.1:{HTTP_PORT}",
    }
    async with running_stack("processes", folder, **environ) as stack:
        yield stack
        await stack.stop_agents()


def write_certificate(folder: Path, authority: trustme.CA) -> None:
    folder.mkdir(mode=0o700, parents=True)
    issued = authority.issue_cert(NAME)
    (folder / f"{NAME}.key").touch(0o600)
    issued.private_key_pem.write_to_path(str(folder / f"{NAME}.key"))
    issued.cert_chain_pems[0].write_to_path(str(folder / f"{NAME}.crt"))


async def fetch(stack: Stack, authority: trustme.CA, request: bytes, source: str) -> bytes:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority.configure_trust(context)
    reader, writer = await asyncio.open_connection(
        "127.0.0.1",
        stack.edge_port,
        ssl=context,
        server_hostname=NAME,
        local_addr=(source, 0),
    )
    writer.write(request)
    async with asyncio.timeout(20):
        answer = await reader.read()
    writer.close()
    return answer


async def test_the_api_answers_through_the_edge_and_learns_the_clients_address(
    stack: Stack, trusted: trustme.CA
) -> None:
    refused = await fetch(stack, trusted, WRONG_KEY, "127.0.0.2")
    health = b"GET /v1/health HTTP/1.1\r\nhost: hub.example.eu\r\nconnection: close\r\n\r\n"
    answered = await fetch(stack, trusted, health, "127.0.0.1")

    assert refused.startswith(b"HTTP/1.1 401")
    assert answered.startswith(b"HTTP/1.1 200")
    assert stack.hub is not None
    program = stack.hub.program
    assert isinstance(program, OwnProcess)
    await until(lambda: '"127.0.0.2"' in program.log())
    assert "192.0.2.1" not in program.log()
    await stack.edges[0].reaches(2, "towonel_edge_connections_served_total", way="hub")


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer as the ACME client of an origin does."""
    path = (await reader.readuntil(b"\r\n\r\n")).split(b" ")[1]
    body = path.rpartition(b"/")[2] + b".thumbprint"
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
    await writer.drain()
    writer.close()


async def test_a_challenge_at_port_80_reaches_the_origin_through_the_tunnel(
    stack: Stack,
) -> None:
    async with await asyncio.start_server(_answer, "127.0.0.1", 0) as origin:
        port = origin.sockets[0].getsockname()[1]
        published = service("app.example.eu", 1) | {"http_origin": f"127.0.0.1:{port}"}
        await stack.start_agent(await stack.invite("app.example.eu"), published)
        await stack.edges[0].reaches(1, "towonel_edge_active_sessions")
        answer = await ask_plainly("/.well-known/acme-challenge/token-1")
        elsewhere = await ask_plainly("/")

    assert answer.startswith("HTTP/1.1 200 ")
    assert answer.endswith("token-1.thumbprint")
    assert elsewhere.startswith("HTTP/1.1 308 ")
    assert "Location: https://app.example.eu/\r\n" in elsewhere


async def ask_plainly(path: str) -> str:
    reader, writer = await asyncio.open_connection("127.0.0.1", HTTP_PORT)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: app.example.eu\r\n\r\n".encode())
    async with asyncio.timeout(20):
        answer = await reader.read()
    writer.close()
    return answer.decode()
