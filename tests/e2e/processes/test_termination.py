"""Terminate: the edge has the certificate, and the origin at home speaks HTTP without TLS."""

import asyncio
import hashlib
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
import trustme
from support.stack import Stack, running_stack, service

pytestmark = pytest.mark.asyncio(loop_scope="module")
NAME = "app.example.eu"
SIZE = 8 * 1024 * 1024


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer one request with the hash of its body, and as many bytes."""
    head = await reader.readuntil(b"\r\n\r\n")
    size = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
    body = await reader.readexactly(size)
    digest = hashlib.sha256(body).hexdigest().encode()
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\netag: %s\r\n\r\n" % (size, digest))
    writer.write(body)
    await writer.drain()
    writer.close()


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stack(
    tmp_path_factory: pytest.TempPathFactory, authority: trustme.CA
) -> AsyncIterator[Stack]:
    folder = tmp_path_factory.mktemp("termination")
    certs = folder / "state" / "certs"
    certs.mkdir(mode=0o700, parents=True)
    issued = authority.issue_cert(NAME)
    _write_secret(certs / f"{NAME}.key", issued.private_key_pem.bytes())
    issued.cert_chain_pems[0].write_to_path(str(certs / f"{NAME}.crt"))
    async with (
        running_stack("processes", folder) as stack,
        await asyncio.start_server(_answer, "127.0.0.1", 0) as origin,
    ):
        published = service(NAME, origin.sockets[0].getsockname()[1]) | {"tls_mode": "terminate"}
        await stack.start_agent(await stack.invite(NAME), published)
        yield stack
        await stack.stop_agents()


def _write_secret(path: Path, content: bytes) -> None:
    path.touch(0o600)
    path.write_bytes(content)


async def test_a_page_is_fetched_over_https_from_an_origin_without_tls(
    stack: Stack, authority: trustme.CA
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority.configure_trust(context)
    body = bytes(range(256)) * (SIZE // 256)
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", stack.edge_port, ssl=context, server_hostname=NAME
    )
    writer.write(
        b"POST / HTTP/1.1\r\nhost: %s\r\ncontent-length: %d\r\n\r\n" % (NAME.encode(), SIZE)
    )
    writer.write(body)
    await writer.drain()
    head = await reader.readuntil(b"\r\n\r\n")
    answer = await reader.readexactly(SIZE)
    writer.close()

    assert hashlib.sha256(body).hexdigest().encode() in head
    assert answer == body
    [edge] = stack.edges
    await edge.reaches(1, "towonel_edge_connections_served_total", way="tls_lane")
    assert await edge.metric("towonel_edge_connections_served_total", way="lane") == 0
