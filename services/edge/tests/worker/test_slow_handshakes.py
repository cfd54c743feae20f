"""Handshakes that do not end: each has its deadline, and others go on meanwhile."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager

import pytest
import trustme
from support.clients import client_hello
from support.edge_front import Front
from support.terminating_edge import NAME, certificate, connected, serving
from support.tunnel import until

from towonel.edge.core.admission import AdmissionLimits
from towonel.edge.worker.termination.messages import ChallengeChanged

type StartFront = Callable[..., AbstractAsyncContextManager[Front]]
type Counted = Callable[..., float]
type Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]

MANY = 200
AMPLE = AdmissionLimits(2 * MANY, 2 * MANY, 2 * MANY)


@contextlib.asynccontextmanager
async def saying(edge: Front, said: bytes) -> AsyncIterator[Streams]:
    """A client that says this."""
    reader, writer = await asyncio.open_connection("127.0.0.1", edge.port)
    writer.write(said)
    yield reader, writer
    writer.transport.abort()


async def stay(edge: Front, said: bytes) -> None:
    """Say this, nothing more, and wait for the end."""
    async with saying(edge, said) as (reader, _):
        while await reader.read(4096):
            pass


async def drip(edge: Front, hello: bytes) -> None:
    """Say a byte now and then, until nobody listens."""
    async with saying(edge, b"") as (reader, writer):
        for at in range(len(hello)):
            writer.write(hello[at : at + 1])
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.02):
                    await reader.read(1)
                    return
    raise AssertionError("all of it was taken")


async def stop_before_the_last_flight(edge: Front, context: ssl.SSLContext) -> None:
    """Say half of what ends a handshake."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(incoming, outgoing, server_hostname=NAME)
    async with saying(edge, b"") as (reader, writer):
        while True:
            with contextlib.suppress(ssl.SSLWantReadError):
                tls.do_handshake()
                last = outgoing.read()
                writer.write(last[: len(last) // 2])
                break
            writer.write(outgoing.read())
            incoming.write(await reader.read(65536))
        while await reader.read(4096):
            pass


def challenge_hello() -> bytes:
    """The first flight of an authority that looks at a challenge."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.set_alpn_protocols(["acme-tls/1"])
    outgoing = ssl.MemoryBIO()
    tls = context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname=NAME)
    with contextlib.suppress(ssl.SSLWantReadError):
        tls.do_handshake()
    return outgoing.read()


async def test_whoever_stops_at_any_stage_of_a_handshake_has_until_its_deadline(
    front: StartFront, authority: trustme.CA, client_tls: ssl.SSLContext, counted: Counted
) -> None:
    hello = client_hello(NAME)
    stages = b"", hello[:3], hello[:99], hello, challenge_hello()
    async with serving(front, handshake_s=0.5) as edge:
        edge.plane.tell(certificate(authority))
        edge.plane.tell(ChallengeChanged(NAME, certificate(authority).pem))
        async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
            for said in stages:
                tasks.create_task(stay(edge, said))
            tasks.create_task(drip(edge, hello))
            tasks.create_task(stop_before_the_last_flight(edge, client_tls))

        refused = len(stages) + 2
        await until(lambda: counted("connections_refused_total", code="client_timeout") == refused)
        assert edge.plane.active == 0


async def test_an_authority_without_a_pending_challenge_gets_an_alert_at_once(
    front: StartFront, authority: trustme.CA, counted: Counted
) -> None:
    async with serving(front) as edge:
        edge.plane.tell(certificate(authority))
        async with saying(edge, challenge_hello()) as (reader, _):
            assert (await reader.read()).startswith(b"\x15")
        await until(lambda: counted("connections_refused_total", code="no_certificate") == 1)


@pytest.mark.parametrize("ends", [False, True])
async def test_many_handshakes_of_others_disturb_nobody(
    front: StartFront, authority: trustme.CA, client_tls: ssl.SSLContext, *, ends: bool
) -> None:
    """They are half done, or fail at once."""
    said = client_hello(NAME) + b"\x15\x03\x03\x00\x02\x02\x2f" * ends
    async with serving(front, limits=AMPLE) as edge, contextlib.AsyncExitStack() as stack:
        edge.plane.tell(certificate(authority))
        for _ in range(MANY):
            await stack.enter_async_context(saying(edge, said))
        if not ends:
            await until(lambda: edge.plane.active == MANY)
        async with asyncio.timeout(10), connected(edge, client_tls) as (_, _, lane):
            assert lane.sock.getpeername()[1] == edge.port
