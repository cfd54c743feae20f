"""Edge that ends the TLS of one name, an agent's lane that a test speaks for, and clients."""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager

import trustme
from support.edge_front import Front, Nowhere
from support.lane_peers import LaneKeys, LanePeer, dial_lane_on, read_open
from support.relay import SECRET, SESSION
from support.tls_lanes import connect_tls

from towonel.edge.core.route_table import RouteTable
from towonel.edge.worker.messages import SessionAdmitted, SessionServices
from towonel.edge.worker.termination.messages import CertificateLoaded
from towonel.wire import lanes
from towonel.wire.ids import TenantId
from towonel.wire.lane_admission import tls_pool_id
from towonel.wire.lanes import FrameType
from towonel.wire.names import ServiceKind
from towonel.wire.routes import Route, RouteDelta, TlsMode

type StartFront = Callable[..., AbstractAsyncContextManager[Front]]

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
