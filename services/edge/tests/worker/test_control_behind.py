"""Worker whose control reads late: what it may be given still, and who is refused meanwhile."""

import os
from array import array
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace

import pytest
from support.clients import client_hello
from support.edge_front import START
from support.limits import share_limits
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
    """Worker whose control reads late."""

    service: ClientService
    control: "Control"
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
        return sum(isinstance(message, kind) for message in self.control.sent)

    def refused(self) -> list[int]:
        return [refused.code for refused in self.service.refuser.take()]


class Control:
    """Control that reads late: so many messages wait for it, and it has no use for descriptors."""

    def __init__(self) -> None:
        self.sent: list[Message] = []
        self.waiting = 0

    def take(self, message: Message, descriptors: tuple[int, ...] = ()) -> None:
        self.sent.append(message)
        for descriptor in descriptors:
            os.close(descriptor)


@pytest.fixture
def late() -> Iterator[Late]:
    rows = [memoryview(array("I", bytes(4 * count_columns(1)))) for _ in range(2)]
    LaneCounts(rows, 1).put(SLOT, LaneSums(idle=1, in_use=0, wanted=1))  # of the other worker
    control = Control()
    service = ClientService(
        *(replace(START, workers=2, sessions=1), Loop(), Memory(PipePool()), control.take),
        share_limits()[0],
        LaneCounts(rows, 0),
        count_waiting=lambda: control.waiting,
    )
    route = Route(ServiceKind.HTTPS, NAME, TENANT)
    service.table.apply(RouteDelta(1, snapshot=True, routes=(route,)))
    late = Late(service, control)
    yield late
    late.sockets.close()
    service.close()
    service.loop.close()


def admit(late: Late, secret: bytes = b"") -> None:
    admitted = SessionAdmitted(SESSION, TENANT, secret, 0.001, slot=SLOT)
    late.service.sessions.add(admitted)
    services = SessionServices(SESSION, [f"https:{NAME}"])
    late.service.sessions.add_services(services.session_id, services.services)


def test_clients_are_handed_over_until_too_many_messages_wait(late: Late) -> None:
    admit(late)
    late.control.waiting = MAX_WAITING - 1
    late.connect(client_hello(NAME))
    late.control.waiting = MAX_WAITING
    late.connect(client_hello(NAME))

    assert late.given(ClientHandedOver) == 1
    assert late.refused() == [Code.OVERLOADED]
    assert late.service.counters.active == 1
    assert not late.service.arriving


def test_sessions_leave_room_for_clients(late: Late) -> None:
    hello = hello_of(session_frames.ALPN.decode())
    late.control.waiting = MAX_PROMPT - 1
    late.connect(hello)
    late.control.waiting = MAX_PROMPT
    late.connect(hello)

    assert late.given(SessionOffered) == 1
    assert late.refused() == [Code.OVERLOADED]
    assert late.service.counters.active == 0


def test_a_client_is_not_moved_but_waits_here(late: Late) -> None:
    admit(late, SECRET)
    late.control.waiting = MAX_PROMPT
    late.connect(client_hello(NAME))
    assert late.given(ClientMoved) == 0
    late.control.waiting = MAX_PROMPT - 1
    late.connect(client_hello(NAME))

    assert late.given(ClientMoved) == 1
    assert len(late.service.arriving) == 1
