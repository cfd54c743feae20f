"""Worker whose control reads late: what it may be given still, and who is refused meanwhile."""

import socket
from array import array
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace

import pytest
from support.clients import client_hello
from support.edge_front import START
from support.relay import SECRET, SESSION, tcp_pair
from support.tls_lanes import hello_of

from towonel.edge.worker.handed_over import MAX_PROMPT, MAX_WAITING
from towonel.edge.worker.messages import (
    ClientHandedOver,
    ClientMoved,
    Message,
    SessionAdmitted,
    SessionOffered,
    SessionServices,
)
from towonel.edge.worker.service import ClientService
from towonel.relay.core.lane_counts import LaneCounts, LaneSums, count_columns
from towonel.relay.loop import Loop
from towonel.relay.memory import Memory
from towonel.relay.pipes import PipePool
from towonel.wire.errors import Code
from towonel.wire.ids import TenantId
from towonel.wire.names import ServiceKind
from towonel.wire.routes import Route, RouteDelta
from towonel.wire.tcp import session_frames

NAME = "app.example.eu"
TENANT = TenantId(b"t" * 32)
SLOT = 0


@dataclass
class Late:
    """Worker for whose control so many messages wait."""

    service: ClientService
    sent: list[Message]
    waiting: int = 0
    sockets: ExitStack = field(default_factory=ExitStack)

    def connect(self, hello: bytes) -> None:
        """Let a client say hello, and the worker act on it."""
        client, edge = tcp_pair()
        self.sockets.enter_context(client)
        edge.setblocking(False)
        client.sendall(hello)
        self.service.accept(edge, edge.getpeername())
        self.service.loop.run_once()

    def given(self, kind: type[Message]) -> int:
        return sum(isinstance(message, kind) for message in self.sent)

    def refused(self) -> list[int]:
        return [refused.code for refused in self.service.refuser.take()]


@pytest.fixture
def late() -> Iterator[Late]:
    sent: list[Message] = []
    rows = [memoryview(array("I", bytes(4 * count_columns(1)))) for _ in range(2)]
    LaneCounts(rows, 1).put(SLOT, LaneSums(idle=1, in_use=0, wanted=1))  # of the other worker
    service = ClientService(
        replace(START, workers=2, sessions=1),
        Loop(),
        Memory(PipePool()),
        lambda message, descriptors=(): sent.append(message) or _close(descriptors),
        LaneCounts(rows, 0),
        count_waiting=lambda: late.waiting,
    )
    late = Late(service, sent)
    route = Route(ServiceKind.HTTPS, NAME, TENANT)
    service.table.apply(RouteDelta(1, snapshot=True, routes=(route,)))
    yield late
    late.sockets.close()
    service.close()
    service.loop.close()


def _close(descriptors: tuple[int, ...]) -> None:
    for descriptor in descriptors:
        socket.close(descriptor)


def admit(late: Late, secret: bytes = b"") -> None:
    admitted = SessionAdmitted(SESSION, TENANT, secret, 0.001, slot=SLOT)
    late.service.sessions.add(admitted)
    services = SessionServices(SESSION, [f"https:{NAME}"])
    late.service.sessions.add_services(services.session_id, services.services)


def test_clients_are_handed_over_until_too_many_messages_wait(late: Late) -> None:
    admit(late)
    late.waiting = MAX_WAITING - 1
    late.connect(client_hello(NAME))
    late.waiting = MAX_WAITING
    late.connect(client_hello(NAME))

    assert late.given(ClientHandedOver) == 1
    assert late.refused() == [Code.OVERLOADED]
    assert late.service.counters.active == 1
    assert not late.service.arriving


def test_sessions_leave_room_for_clients(late: Late) -> None:
    hello = hello_of(session_frames.ALPN.decode())
    late.waiting = MAX_PROMPT - 1
    late.connect(hello)
    late.waiting = MAX_PROMPT
    late.connect(hello)

    assert late.given(SessionOffered) == 1
    assert late.refused() == [Code.OVERLOADED]
    assert late.service.counters.active == 0


def test_a_client_is_not_moved_but_waits_here(late: Late) -> None:
    admit(late, SECRET)
    late.waiting = MAX_PROMPT
    late.connect(client_hello(NAME))
    assert late.given(ClientMoved) == 0
    late.waiting = MAX_PROMPT - 1
    late.connect(client_hello(NAME))

    assert late.given(ClientMoved) == 1
    assert len(late.service.arriving) == 1
