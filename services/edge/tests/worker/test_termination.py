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
from support.clients import client_hello
from support.edge_front import Front, Nowhere
from support.lane_peers import LaneKeys, LanePeer, dial_lane_on, read_open
from support.relay import SECRET, SESSION
from support.tls_lanes import connect_tls
from support.tunnel import until

from towonel.edge.core.route_table import RouteTable
from towonel.edge.worker.messages import SessionAdmitted, SessionServices
from towonel.edge.worker.termination.messages import CertificateLoaded, CertificateRemoved
from towonel.wire import lanes
from towonel.wire.ids import TenantId
from towonel.wire.lane_admission import tls_pool_id
from towonel.wire.lanes import FrameType
from towonel.wire.names import ServiceKind
from towonel.wire.preamble import HTTP_1, HTTP_2
from towonel.wire.routes import Route, RouteDelta, TlsMode

type StartFront = Callable[..., AbstractAsyncContextManager[Front]]
type Counted = Callable[..., float]

NAME = "app.example.eu"
TENANT = TenantId(b"t" * 32)
ROUTE = Route(ServiceKind.HTTPS, NAME, TENANT, tls_mode=TlsMode.TERMINATE)
POOL = LaneKeys(tls_pool_id(SESSION))
SERVICES = (
    str(ROUTE.service),
    "tcp:ssh",
)  # of which the second has lanes inside TLS before a client comes


def certificate(authority: trustme.CA, name: str = NAME) -> CertificateLoaded:
    issued = authority.issue_cert(name)
    chain = b"".join(blob.bytes() for blob in issued.cert_chain_pems)
    return CertificateLoaded(name, chain + issued.private_key_pem.bytes())


@contextlib.asynccontextmanager
async def serving(
    front: StartFront,
    services: tuple[str, ...] = SERVICES,
    secret: bytes = SECRET,
    route: Route = ROUTE,
    **options: object,
) -> AsyncIterator[Front]:
    table = RouteTable()
    table.apply(RouteDelta(1, snapshot=True, routes=(route,)))
    async with front(table, Nowhere(), has_agent=False, **options) as edge:
        edge.plane.tell(SessionAdmitted(SESSION, TENANT, secret, 0.3, slot=0))
        edge.plane.tell(SessionServices(SESSION, list(services)))
        yield edge


@pytest.fixture
async def edge(front: StartFront, authority: trustme.CA) -> AsyncIterator[Front]:
    async with serving(front) as edge:
        edge.plane.tell(certificate(authority))
        yield edge


async def dial(edge: Front) -> LanePeer:
    sock = await asyncio.to_thread(connect_tls, ("127.0.0.1", edge.port))
    return await asyncio.to_thread(dial_lane_on, sock, POOL)


@contextlib.asynccontextmanager
async def connected(
    edge: Front, client_tls: ssl.SSLContext, data: bytes = b""
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter, LanePeer]]:
    """A client, and the lane that has it, whose agent has accepted."""
    lane = await dial(edge)
    with lane.sock:
        reader, writer = await connect(edge, client_tls)
        writer.write(data)
        opened = await asyncio.to_thread(read_open, lane)
        assert opened.first == data or not opened.first
        await send(lane, FrameType.ACCEPT, b"welcome")
        assert await reader.readexactly(7) == b"welcome"
        yield reader, writer, lane
        writer.close()


async def connect(
    edge: Front, client_tls: ssl.SSLContext
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection(
        "127.0.0.1", edge.port, ssl=client_tls, server_hostname=NAME
    )


async def send(lane: LanePeer, kind: FrameType, data: bytes = b"", use: int = 1) -> None:
    await asyncio.to_thread(lane.sock.sendall, lanes.encode_head(kind, use, len(data)) + data)


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


class HalfClosingClient:
    """Client that says that its bytes are over, and reads on."""

    def __init__(self, sock: socket.socket, context: ssl.SSLContext) -> None:
        self.sock = sock
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.incoming, self.outgoing, server_hostname=NAME)

    def shake_hands(self) -> None:
        while True:
            try:
                self.tls.do_handshake()
            except ssl.SSLWantReadError:
                self.sock.sendall(self.outgoing.read())
                self.incoming.write(self.sock.recv(65536))
            else:
                self.sock.sendall(self.outgoing.read())
                return

    def end_bytes(self) -> None:
        with contextlib.suppress(ssl.SSLWantReadError):
            self.tls.unwrap()
        self.sock.sendall(self.outgoing.read())

    def read_all(self) -> bytes:
        """Return what comes before the edge says that no more will, inside TLS."""
        data = b""
        while True:
            try:
                more = self.tls.read(65536)
            except ssl.SSLWantReadError:
                records = self.sock.recv(65536)
                assert records, "cut without an end of TLS"
                self.incoming.write(records)
                continue
            except ssl.SSLZeroReturnError:
                return data
            if not more:
                return data
            data += more


def connect_tls_client(edge: Front, context: ssl.SSLContext) -> HalfClosingClient:
    sock = socket.create_connection(("127.0.0.1", edge.port), timeout=20)
    client = HalfClosingClient(sock, context)
    client.shake_hands()
    return client


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


async def test_a_handshake_that_does_not_go_on_ends_at_its_deadline(
    front: StartFront, authority: trustme.CA, client_tls: ssl.SSLContext, counted: Counted
) -> None:
    async with serving(front, handshake_s=0.5) as edge:
        edge.plane.tell(certificate(authority))
        reader, writer = await asyncio.open_connection("127.0.0.1", edge.port)
        writer.write(client_hello(NAME))
        async with asyncio.timeout(20):
            answer = await reader.read()

        assert answer[:1] == b"\x16"  # the edge has answered, and waited
        await until(lambda: counted("connections_refused_total", code="client_timeout") == 1)
        writer.close()


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
