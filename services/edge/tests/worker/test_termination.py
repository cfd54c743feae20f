"""Termination of TLS at the edge: what is inside goes on to the agent by lanes inside TLS, and by nothing else."""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import replace

import pytest
import trustme
from support.edge_front import Front
from support.lane_peers import dial_lane_on, read_open
from support.terminating_edge import (
    NAME,
    ROUTE,
    SERVICES,
    certificate,
    connect,
    connect_tls_client,
    connected,
    dial,
    send,
    serving,
)
from support.tunnel import until

from towonel.edge.worker.termination.messages import CertificateRemoved
from towonel.wire.lanes import FrameType
from towonel.wire.preamble import HTTP_1, HTTP_2

type StartFront = Callable[..., AbstractAsyncContextManager[Front]]
type Counted = Callable[..., float]


@pytest.fixture
async def edge(front: StartFront, authority: trustme.CA) -> AsyncIterator[Front]:
    async with serving(front) as edge:
        edge.plane.tell(certificate(authority))
        yield edge


async def test_what_is_inside_reaches_the_agent_with_the_name_and_the_clients_address(
    edge: Front, client_tls: ssl.SSLContext, counted: Counted
) -> None:
    lane = await dial(edge)
    with lane.sock:
        reader, writer = await connect(edge, client_tls)
        writer.write(b"GET / HTTP/1.1\r\n\r\n")
        opened = await asyncio.to_thread(read_open, lane)
        received = opened.first
        await send(lane, FrameType.ACCEPT, b"HTTP/1.1 200 OK\r\n\r\n")
        while len(received) < 18:
            received += (await asyncio.to_thread(lane.read_frame))[2]

        assert received == b"GET / HTTP/1.1\r\n\r\n"
        assert await reader.readexactly(19) == b"HTTP/1.1 200 OK\r\n\r\n"
        assert (str(opened.preamble.service), opened.preamble.authority) == (f"https:{NAME}", NAME)
        assert str(opened.preamble.source.ip) == "127.0.0.1"
        writer.close()
    await until(lambda: counted("connections_served_total", way="tls_lane") == 1)
    assert counted("connections_total") == 1
    assert counted("connections_served_total", way="stream") == 0


async def test_much_passes_both_ways_whole(edge: Front, client_tls: ssl.SSLContext) -> None:
    payload = bytes(range(256)) * 8192
    async with connected(edge, client_tls) as (reader, writer, lane):
        writer.write(payload)
        received = b""
        while len(received) < len(payload):
            received += (await asyncio.to_thread(lane.read_frame))[2]
        sending = asyncio.create_task(send(lane, FrameType.DATA, payload[: 1024 * 1024]))

        assert received == payload
        assert await reader.readexactly(1024 * 1024) == payload[: 1024 * 1024]
        await sending


async def test_a_client_that_ends_its_bytes_gets_the_rest_of_the_answer_and_its_end(
    edge: Front, client_tls: ssl.SSLContext, counted: Counted
) -> None:
    lane = await dial(edge)
    with lane.sock:
        tls = await asyncio.to_thread(connect_tls_client, edge, client_tls)
        await asyncio.to_thread(read_open, lane)
        await send(lane, FrameType.ACCEPT)
        tls.end_bytes()
        kind, _, _ = await asyncio.to_thread(lane.read_frame)
        await send(lane, FrameType.DATA, b"late")
        await send(lane, FrameType.END)

        assert kind is FrameType.END
        assert await asyncio.to_thread(tls.read_all) == b"late"
        tls.sock.close()
    await until(lambda: counted("connections_ended_total", code="normal") == 1)


async def test_bytes_that_go_on_after_the_origins_end_arrive(
    edge: Front, client_tls: ssl.SSLContext, counted: Counted
) -> None:
    lane = await dial(edge)
    async with contextlib.AsyncExitStack() as stack:
        stack.enter_context(lane.sock)
        client = await asyncio.to_thread(connect_tls_client, edge, client_tls)
        await asyncio.to_thread(read_open, lane)
        await send(lane, FrameType.ACCEPT)
        await send(lane, FrameType.END)
        stack.enter_context(client.sock)
        assert await asyncio.to_thread(client.read_all) == b""
        client.tls.write(b"still here")
        client.end_bytes()

        assert (await asyncio.to_thread(lane.read_frame))[2] == b"still here"
        assert (await asyncio.to_thread(lane.read_frame))[0] is FrameType.END
    await until(lambda: counted("connections_ended_total", code="normal") == 1)


async def test_a_client_that_is_cut_is_a_reset_to_the_origin(
    edge: Front, client_tls: ssl.SSLContext
) -> None:
    async with connected(edge, client_tls) as (_, writer, lane):
        writer.transport.abort()
        kind, _, _ = await asyncio.to_thread(lane.read_frame)

        assert kind is FrameType.RESET


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_modern_tls_and_http_1_are_spoken(
    edge: Front, authority: trustme.CA, version: ssl.TLSVersion
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority.configure_trust(context)
    context.minimum_version = context.maximum_version = version
    context.set_alpn_protocols(["h2", "http/1.1"])
    async with connected(edge, context) as (_, writer, _):
        tls = writer.get_extra_info("ssl_object")

        assert tls.selected_alpn_protocol() == "http/1.1"
        assert "GCM" in tls.cipher()[0] or "CHACHA20" in tls.cipher()[0]
        assert tls.compression() is None


@pytest.mark.parametrize(
    ("http2", "is_exclusive", "offered", "spoken"),
    [
        (True, True, [HTTP_2, HTTP_1], HTTP_2),
        (True, True, [HTTP_1], HTTP_1),
        (True, True, [], None),
        (True, False, [HTTP_2, HTTP_1], HTTP_1),
        (False, True, [HTTP_2, HTTP_1], HTTP_1),
    ],
)
async def test_http_2_is_spoken_where_origins_do_and_no_other_name_has_the_certificate(
    front: StartFront, authority: trustme.CA, http2: bool, is_exclusive: bool,
    offered: list[str], spoken: str | None,
) -> None:  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority.configure_trust(context)
    context.set_alpn_protocols(offered)
    async with serving(front, route=replace(ROUTE, http2=http2)) as edge:
        edge.plane.tell(replace(certificate(authority), is_exclusive=is_exclusive))
        lane = await dial(edge)
        with lane.sock:
            _, writer = await connect(edge, context)
            opened = await asyncio.to_thread(read_open, lane)

            assert writer.get_extra_info("ssl_object").selected_alpn_protocol() == spoken
            assert opened.preamble.protocol == spoken
            writer.close()


async def test_old_ciphers_are_refused_with_an_alert(
    edge: Front, authority: trustme.CA, counted: Counted
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority.configure_trust(context)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("AES128-SHA")
    with pytest.raises(ssl.SSLError, match=r"(?i)handshake.failure"):
        await connect(edge, context)

    await until(lambda: counted("connections_refused_total", code="tls_failed") == 1)
    await until(lambda: counted("active_connections") == 0)


async def test_a_client_that_does_not_trust_the_certificate_is_counted(
    edge: Front, counted: Counted
) -> None:
    sock = socket.create_connection(("127.0.0.1", edge.port), timeout=20)
    with sock, pytest.raises(ssl.SSLError):
        await asyncio.to_thread(
            ssl.create_default_context().wrap_socket, sock, server_hostname=NAME
        )

    await until(lambda: counted("connections_refused_total", code="tls_failed") == 1)


async def test_a_name_without_a_certificate_is_refused_by_an_alert(
    edge: Front, client_tls: ssl.SSLContext, counted: Counted
) -> None:
    edge.plane.tell(CertificateRemoved(NAME))
    with pytest.raises(ssl.SSLError, match=r"(?i)internal.error"):
        await connect(edge, client_tls)

    await until(lambda: counted("connections_refused_total", code="no_certificate") == 1)


async def test_a_plain_lane_carries_nothing_of_it_and_one_inside_tls_is_asked_for(
    front: StartFront, authority: trustme.CA, client_tls: ssl.SSLContext, counted: Counted
) -> None:
    async with contextlib.AsyncExitStack() as stack:
        edge = await stack.enter_async_context(serving(front, SERVICES[:1]))
        edge.plane.tell(certificate(authority))
        sock = socket.create_connection(("127.0.0.1", edge.port), timeout=20)
        stack.enter_context((await asyncio.to_thread(dial_lane_on, sock)).sock)
        await until(lambda: counted("lanes", state="idle") == 1)
        _, writer = await connect(edge, client_tls)
        writer.write(b"GET / HTTP/1.1\r\n\r\n")
        await until(lambda: counted("lanes", state="wanted") > 2)  # two of them plain
        lane = await dial(edge)
        stack.enter_context(lane.sock)

        assert (await asyncio.to_thread(read_open, lane)).preamble.authority == NAME
        assert counted("connections_served_total", way="lane") == 0
        writer.close()


async def test_an_agent_that_takes_no_lanes_gets_nothing_of_it(
    front: StartFront, authority: trustme.CA, client_tls: ssl.SSLContext, counted: Counted
) -> None:
    async with serving(front, secret=b"") as edge:
        edge.plane.tell(certificate(authority))
        with pytest.raises(ssl.SSLError, match=r"(?i)internal.error"):
            await connect(edge, client_tls)

    assert counted("connections_refused_total", code="no_agent") == 1
