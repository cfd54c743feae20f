"""The hub's own name: TLS ends at the edge, and the hub gets the bytes, after a header that says who its client is."""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from functools import partial

import pytest
import trustme
from support.edge_front import Front, Nowhere
from support.tunnel import until

from towonel.edge.core.admission import AdmissionLimits
from towonel.edge.core.route_table import RouteTable
from towonel.edge.worker.termination.messages import CertificateLoaded, HubRouteChanged
from towonel.identity.hub_proof import has_hub_proof
from towonel.wire import proxy
from towonel.wire.ids import TenantId
from towonel.wire.names import ServiceKind
from towonel.wire.proxy import ProxyHeader
from towonel.wire.routes import Route, RouteDelta

type StartFront = Callable[..., AbstractAsyncContextManager[Front]]
type Counted = Callable[..., float]

NAME = "hub.example.eu"
PROOF = b"p" * 32
MEBIBYTE = 1024 * 1024


@dataclass
class FakeHub:
    """Server in the place of the hub: it sends back what it gets, until it gets `bye`, or an end."""

    port: int = 0
    headers: list[ProxyHeader] = field(default_factory=list[ProxyHeader])
    ended: list[str] = field(default_factory=list[str])

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readexactly(16)
        head += await reader.readexactly(int.from_bytes(head[-2:]))
        header, _ = proxy.read(head) or (None, 0)
        assert header is not None
        self.headers.append(header)
        try:
            while (data := await reader.read(65536)) and data != b"bye":
                writer.write(data)
                await writer.drain()
        except ConnectionError:
            self.ended.append("reset")
        else:
            self.ended.append("bye" if data else "end")
        writer.close()


@pytest.fixture
async def hub() -> AsyncIterator[FakeHub]:
    hub = FakeHub()
    async with await asyncio.start_server(hub.serve, "127.0.0.1", 0) as server:
        hub.port = server.sockets[0].getsockname()[1]
        yield hub


@pytest.fixture
def start(front: StartFront, authority: trustme.CA) -> StartFront:
    """Starts a data plane that answers the hub's name, and one of a tenant's that is the same."""

    @contextlib.asynccontextmanager
    async def serving(*ports: int, **options: object) -> AsyncIterator[Front]:
        table = RouteTable()
        route = Route(ServiceKind.HTTPS, NAME, TenantId(b"t" * 32))
        table.apply(RouteDelta(1, snapshot=True, routes=(route,)))
        issued = authority.issue_cert(NAME)
        chain = b"".join(blob.bytes() for blob in issued.cert_chain_pems)
        async with front(table, Nowhere(), **options) as edge:
            edge.plane.tell(CertificateLoaded(NAME, chain + issued.private_key_pem.bytes()))
            addresses = tuple(("127.0.0.1", port) for port in ports)
            edge.plane.tell(HubRouteChanged(NAME, addresses, PROOF))
            yield edge

    return serving


def has_length(items: list[str], length: int) -> bool:
    return len(items) == length


async def connect(
    edge: Front, client_tls: ssl.SSLContext
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection(
        "127.0.0.1", edge.port, ssl=client_tls, server_hostname=NAME
    )


async def test_the_hub_gets_the_bytes_and_the_clients_address_with_the_edges_proof(
    start: StartFront, hub: FakeHub, client_tls: ssl.SSLContext, counted: Counted
) -> None:
    async with start(hub.port) as edge:
        reader, writer = await connect(edge, client_tls)
        writer.write(b"GET /v1/health HTTP/1.1\r\n\r\n")
        answer = await reader.readexactly(27)
        own = writer.get_extra_info("sockname")
        writer.write(b"bye")

        assert answer == b"GET /v1/health HTTP/1.1\r\n\r\n"
        assert await reader.read() == b""
        [header] = hub.headers
        assert (str(header.source.ip), header.source.port) == own
        assert header.destination.port == edge.port
        assert has_hub_proof(header, PROOF)
        await until(lambda: counted("connections_ended_total", code="normal") == 1)
        assert counted("connections_served_total", way="hub") == 1
        assert counted("bytes_in_total") == 30
        assert counted("bytes_out_total") == 27
        assert counted("active_connections") == 0
        writer.close()


async def test_much_passes_both_ways_whole(
    start: StartFront, hub: FakeHub, client_tls: ssl.SSLContext
) -> None:
    payload = bytes(range(256)) * (8 * MEBIBYTE // 256)
    async with start(hub.port) as edge:
        reader, writer = await connect(edge, client_tls)
        writer.write(payload)

        assert await reader.readexactly(len(payload)) == payload
        writer.close()


async def test_a_client_that_is_cut_is_a_reset_to_the_hub_and_one_that_ends_an_end(
    start: StartFront, hub: FakeHub, client_tls: ssl.SSLContext
) -> None:
    async with start(hub.port) as edge:
        for _ in range(2):
            reader, writer = await connect(edge, client_tls)
            writer.write(b"hello")
            await reader.readexactly(5)
            if not hub.ended:
                writer.transport.abort()
            else:
                writer.close()
            await until(partial(has_length, hub.ended, len(hub.ended) + 1))

    assert hub.ended == ["reset", "end"]


async def test_another_address_is_tried_where_nothing_answers(
    start: StartFront, hub: FakeHub, client_tls: ssl.SSLContext
) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        async with start(closed.getsockname()[1], hub.port) as edge:
            reader, writer = await connect(edge, client_tls)
            writer.write(b"hello")

            assert await reader.readexactly(5) == b"hello"
            writer.close()


@pytest.mark.parametrize("is_resolved", [True, False])
async def test_a_hub_that_is_away_is_an_end_of_tls_and_has_its_code(
    start: StartFront, client_tls: ssl.SSLContext, counted: Counted, is_resolved: bool
) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        ports = (closed.getsockname()[1],) if is_resolved else ()
        async with start(*ports) as edge:
            reader, writer = await connect(edge, client_tls)

            assert await reader.read() == b""
            await until(lambda: counted("connections_refused_total", code="hub_unavailable") == 1)
            assert counted("active_connections") == 0
            writer.close()


async def test_a_hub_that_does_not_answer_is_given_up_at_the_deadline(
    start: StartFront, client_tls: ssl.SSLContext, counted: Counted
) -> None:
    with contextlib.ExitStack() as sockets:
        silent = sockets.enter_context(socket.socket())
        silent.bind(("127.0.0.1", 0))
        silent.listen(0)
        for _ in range(2):  # its queue is full
            waiting = sockets.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(silent.getsockname())
        async with start(silent.getsockname()[1], open_s=0.5) as edge:
            reader, writer = await connect(edge, client_tls)

            assert await reader.read() == b""
            await until(lambda: counted("connections_refused_total", code="origin_timeout") == 1)
            writer.close()


async def test_clients_of_the_hub_count_as_others_of_their_address(
    start: StartFront, hub: FakeHub, client_tls: ssl.SSLContext, counted: Counted
) -> None:
    async with start(hub.port, limits=AdmissionLimits(99, 1, 99)) as edge:
        reader, writer = await connect(edge, client_tls)
        writer.write(b"hello")
        await reader.readexactly(5)
        with pytest.raises(OSError, match=r".*"):
            await connect(edge, client_tls)

        await until(lambda: counted("connections_refused_total", code="limit_exceeded") == 1)
        writer.close()
