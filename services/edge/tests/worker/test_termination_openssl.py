"""TLS that ends at the edge, as OpenSSL's own client sees it: what is spoken, and what is refused."""

import asyncio
import ssl
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager

import pytest
import trustme
from support.clients import run
from support.edge_front import Front
from support.lane_peers import read_open
from support.terminating_edge import NAME, certificate, dial, send, serving

from towonel.wire.lanes import FrameType

type StartFront = Callable[..., AbstractAsyncContextManager[Front]]

ANY = "ALL:COMPLEMENTOFALL:@SECLEVEL=0"  # of which the client is not particular


@pytest.fixture
async def edge(front: StartFront, authority: trustme.CA) -> AsyncIterator[Front]:
    async with serving(front) as edge:
        edge.plane.tell(certificate(authority))
        yield edge


def command(edge: Front, *options: str) -> tuple[str, ...]:
    address = f"127.0.0.1:{edge.port}"
    return "openssl", "s_client", "-connect", address, "-servername", NAME, *options


async def connect(edge: Front, *options: str) -> str:
    """What the client says of its handshake."""
    _, output = await run(*command(edge, *options))
    return output


@pytest.mark.parametrize("version", ["-tls1", "-tls1_1"])  # SSLv3 OpenSSL has no more
async def test_old_protocols_are_refused_with_an_alert(edge: Front, version: str) -> None:
    output = await connect(edge, version, "-cipher", ANY)

    assert "alert protocol version" in output
    assert "Cipher is (NONE)" in output


async def test_protocols_of_today_are_spoken_without_compression(edge: Front) -> None:
    older, newer = [await connect(edge, version, "-comp") for version in ("-tls1_2", "-tls1_3")]

    assert "New, TLSv1.2, Cipher is ECDHE-ECDSA-" in older
    assert "New, TLSv1.3, Cipher is TLS_" in newer
    assert "Compression: NONE" in older
    assert "Compression: NONE" in newer


@pytest.mark.parametrize(
    ("ciphers", "is_spoken"),
    [
        (f"{ANY}:!AESGCM:!CHACHA20", False),
        (f"{ANY}:!ECDHE", False),
        ("ECDHE-ECDSA-AES128-GCM-SHA256", True),
        ("ECDHE-ECDSA-CHACHA20-POLY1305", True),
    ],
)
async def test_ciphers_are_authenticated_and_have_forward_secrecy(
    edge: Front, ciphers: str, *, is_spoken: bool
) -> None:
    output = await connect(edge, "-tls1_2", "-cipher", ciphers)

    assert ("alert handshake failure" in output) is not is_spoken
    assert ("Cipher is (NONE)" in output) is not is_spoken


async def test_a_client_cannot_negotiate_anew(edge: Front) -> None:
    lane = await dial(edge)
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        *command(edge, "-tls1_2"), stdin=pipe, stdout=pipe, stderr=asyncio.subprocess.STDOUT
    )
    with lane.sock:
        await asyncio.to_thread(read_open, lane)
        await send(lane, FrameType.ACCEPT)
        async with asyncio.timeout(20):
            output, _ = await process.communicate(b"R\n")

    assert b"RENEGOTIATING" in output
    assert b"no renegotiation" in output


def has_ml_kem() -> bool:
    if ssl.OPENSSL_VERSION_INFO < (3, 5):
        return False
    found = subprocess.run(["openssl", "list", "-tls-groups"], check=False, capture_output=True)
    return b"X25519MLKEM768" in found.stdout


@pytest.mark.skipif(not has_ml_kem(), reason="X25519MLKEM768 is of OpenSSL 3.5 and later")
async def test_keys_are_exchanged_as_no_quantum_computer_can_read_them(edge: Front) -> None:
    output = await connect(edge, "-tls1_3", "-groups", "X25519MLKEM768")

    assert "group: X25519MLKEM768" in output
