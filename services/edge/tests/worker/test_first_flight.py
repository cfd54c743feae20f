"""First flight of a client: how often it is read, and what it may not be."""

import contextlib
import socket
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import pytest
from support.clients import client_hello
from support.edge_front import START
from support.limits import share_limits
from support.relay import tcp_pair
from support.tls_lanes import hello_of_a_lane

from towonel.edge.worker.clients import FREE_READS
from towonel.edge.worker.messages import Message, Refused, SessionAdmitted, Start
from towonel.edge.worker.service import ClientService
from towonel.relay.core.deadlines import TICK_S
from towonel.relay.loop import Loop
from towonel.relay.memory import Memory
from towonel.relay.pipes import PipePool
from towonel.wire import proxy
from towonel.wire.errors import Code
from towonel.wire.ids import TenantId
from towonel.wire.lane_admission import HELLO_BYTES, MAGIC
from towonel.wire.names import ServiceKind
from towonel.wire.routes import Route, RouteDelta


@dataclass
class Served:
    """A client's end of a connection, and the service at its other end."""

    client: socket.socket
    clock: "Clock"
    loop: Loop
    service: ClientService
    sent: list[Message] = field(default_factory=list[Message])

    def refused(self) -> list[Refused]:
        self.loop.run_once()
        return self.service.refuser.take()

    def pass_ticks(self, count: int) -> None:
        """Let the loop's clock tick so many times."""
        for _ in range(count):
            self.clock.now += TICK_S
            self.loop.run_once()


@dataclass
class Clock:
    """Clock that stands still between ticks."""

    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def served(request: pytest.FixtureRequest) -> Iterator[Served]:
    with serve(START, lanes_only=getattr(request, "param", False)) as served:
        yield served


@pytest.fixture
def proxied() -> Iterator[Served]:
    with serve(replace(START, proxies=["127.0.0.0/8"])) as served:
        yield served


@contextlib.contextmanager
def serve(start: Start, *, lanes_only: bool = False) -> Iterator[Served]:
    clock = Clock()
    loop = Loop(clock)
    sent: list[Message] = []
    service = ClientService(
        *(start, loop, Memory(PipePool()), lambda message, descriptors=(): sent.append(message)),
        share_limits()[0],
    )
    client, edge = tcp_pair()
    edge.setblocking(False)
    service.accept(edge, edge.getpeername(), lanes_only=lanes_only)
    yield Served(client, clock, loop, service, sent)
    client.close()
    service.close()
    loop.close()


def hello_in_records_of_one_byte() -> bytes:
    """2000 bytes of a hello that has nothing in it."""
    handshake = b"\1" + (1_996).to_bytes(3) + bytes(1_996)
    return b"".join(b"\x16\3\1\0\1" + bytes([byte]) for byte in handshake)


def test_a_client_can_cause_only_so_many_reads_a_second(served: Served) -> None:
    """What is worth a look costs one: a client cannot cause many of them at once."""
    (client,) = served.service.arriving
    hello = hello_in_records_of_one_byte()
    for _ in range(FREE_READS + 2):
        served.client.sendall(hello[len(client.data) : client._needed])
        served.loop.run_once()
    free = client._reads
    served.pass_ticks(2)
    ticked = client._reads
    served.client.sendall(hello[len(client.data) :])
    served.loop.run_once()
    served.pass_ticks(2)

    assert (free, ticked, client._reads) == (FREE_READS + 1, FREE_READS + 2, FREE_READS + 3)
    (refused,) = served.service.refuser.take()
    assert refused.code == Code.BAD_HELLO


@pytest.mark.parametrize("served", [True], indirect=True)
@pytest.mark.parametrize(
    ("sent", "code"), [(b"GET / HTTP", Code.NOT_TLS), (client_hello("a.eu"), Code.NO_ROUTE)]
)
def test_a_port_for_lanes_takes_no_client(served: Served, sent: bytes, code: Code) -> None:
    served.client.sendall(sent)

    (refused,) = served.refused()
    assert refused.code == code


@pytest.mark.parametrize("served", [True, False], indirect=True, ids=["lanes only", "shared"])
def test_a_lane_inside_tls_may_begin_on_either_port(served: Served) -> None:
    served.client.sendall(hello_of_a_lane())
    served.loop.run_once()

    assert len(served.service.lanes.half_open) == 1
    assert served.client.recv(5)[:3] == b"\x16\3\3"  # ServerHello


def test_a_lane_behind_a_header_in_pieces_is_read_as_it_comes(proxied: Served) -> None:
    header = proxy.SIGNATURE + b"\x20\0\0\x20" + bytes(32)
    for piece in (header[:-20], header[-20:] + MAGIC):
        proxied.client.sendall(piece)
        proxied.loop.run_once()

    (half,) = proxied.service.lanes.half_open
    assert half.sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT) == 1


def test_a_lane_that_does_not_wait_for_an_answer_is_refused(served: Served) -> None:
    served.client.sendall(MAGIC + bytes(HELLO_BYTES))

    (refused,) = served.refused()
    assert refused.code == Code.MALFORMED


def test_a_refused_client_is_closed_although_it_never_reads(served: Served) -> None:
    served.client.sendall(b"GET / HTTP/1.1\r\n\r\n")
    served.refused()
    assert len(served.service.refuser.lingering) == 1
    while served.service.refuser.lingering:
        served.pass_ticks(1)

    assert served.client.recv(99) == b""


def test_an_orphan_hands_no_client_over(served: Served) -> None:
    service, tenant = served.service, TenantId(b"t" * 32)
    route = Route(ServiceKind.HTTPS, "a.eu", tenant)
    service.table.apply(RouteDelta(1, snapshot=True, routes=(route,)))
    service.sessions.add(SessionAdmitted(b"s" * 16, tenant, b"", 0.01))
    service.sessions.add_services(b"s" * 16, [str(route.service)])
    service.is_orphan = True
    served.client.sendall(client_hello("a.eu"))

    (refused,) = served.refused()
    assert refused.code == Code.DRAINING
    assert service.counters.active == 0
