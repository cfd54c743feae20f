"""Listeners of TCP services: bound with a route, tried again where that fails, handed on in an upgrade."""

import asyncio
import contextlib
import errno
import os
import socket
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path

import pytest
from structlog.testing import capture_logs
from support.ports import free_port, free_ports
from support.tunnel import until

from towonel.edge.app import Edge
from towonel.edge.core.route_table import RouteTable
from towonel.edge.data_plane.port_listeners import ListenerFailure, PortListeners
from towonel.edge.data_plane.sockets import bind_socket, listen_on_port
from towonel.edge.metrics import Metrics
from towonel.edge.settings import EdgeSettings
from towonel.edge.timing import DEFAULT_TIMING
from towonel.relay.flows.sockets import bind_datagrams
from towonel.runtime.settings import load
from towonel.wire.errors import Code
from towonel.wire.ids import TenantId
from towonel.wire.names import ServiceKind
from towonel.wire.routes import Route, RouteDelta

type Counted = Callable[..., float]

TENANT = TenantId(b"t" * 32)
BINDERS = {ServiceKind.TCP: listen_on_port, ServiceKind.UDP: bind_datagrams}


class Listening:
    """Listeners of a table, and what workers are told."""

    def __init__(self, metrics: Metrics, kind: ServiceKind = ServiceKind.TCP) -> None:
        self._kind = kind
        self.table = RouteTable()
        self.opened: list[int] = []
        self.closed: list[int] = []
        self.ports = PortListeners(
            kind,
            self.table,
            partial(BINDERS[kind], "127.0.0.1"),
            lambda port, _: self.opened.append(port),
            self.closed.append,
            metrics,
        )

    def publish(self, *ports: int, name: str | None = None) -> None:
        routes = tuple(Route(self._kind, name or f"s{port}", TENANT, port) for port in ports)
        self._apply(RouteDelta(1, snapshot=False, routes=routes))

    def withdraw(self, *ports: int) -> None:
        self._apply(
            RouteDelta(1, snapshot=False, removed=tuple(f"{self._kind}:{each}" for each in ports))
        )

    def _apply(self, delta: RouteDelta) -> None:
        self.table.apply(delta)
        self.ports.change(delta)


@pytest.fixture
def kind() -> ServiceKind:
    return ServiceKind.TCP


@pytest.fixture
async def listening(metrics: Metrics, kind: ServiceKind) -> AsyncIterator[Listening]:
    found = Listening(metrics, kind)
    yield found
    found.ports.close()


async def test_ports_are_bound_once_the_edge_listens_and_left_with_their_routes(
    listening: Listening, counted: Counted
) -> None:
    early, late = free_port(), free_port()
    listening.publish(early)
    assert listening.opened == []
    listening.ports.listen()
    listening.publish(late)
    assert listening.opened == [early, late]
    assert counted("listeners", protocol="tcp", state="listening") == 2
    socket.create_connection(("127.0.0.1", late)).close()

    listening.withdraw(early, 1)
    assert listening.closed == [early]
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", early))


@pytest.mark.parametrize("kind", [ServiceKind.UDP])
async def test_ports_of_udp_services_are_had_and_left_like_those_of_tcp(
    listening: Listening, counted: Counted
) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", 0))
        port, busy = free_port(), int(other.getsockname()[1])
        listening.ports.listen()
        listening.publish(port, busy)
        assert list(listening.ports.describe()) == sorted(
            [
                (f"udp:{busy}", ListenerFailure(Code.PORT_IN_USE, "Address already in use")),
                (f"udp:{port}", None),
            ]
        )

    assert (listening.opened, listening.ports.sockets[port].type) == ([port], socket.SOCK_DGRAM)
    assert counted("listeners", protocol="udp", state="failed") == 1
    listening.withdraw(port)
    assert listening.closed == [port]


async def test_ports_of_one_range_that_are_alike_are_described_together(
    listening: Listening,
) -> None:
    first = free_ports(6)
    with socket.create_server(("127.0.0.1", first + 2)):
        listening.ports.listen()
        listening.publish(*range(first, first + 5), name="game")
        listening.publish(first + 5)

        assert list(listening.ports.describe()) == [
            (f"tcp:{first}-{first + 1}", None),
            (f"tcp:{first + 2}", ListenerFailure(Code.PORT_IN_USE, "Address already in use")),
            (f"tcp:{first + 3}-{first + 4}", None),
            (f"tcp:{first + 5}", None),
        ]


async def test_a_busy_port_is_a_state_said_once_and_tried_again(
    listening: Listening, counted: Counted
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other, capture_logs() as lines:
        port = int(other.getsockname()[1])
        listening.ports.listen()
        listening.publish(port)
        listening.publish(port)
        assert list(listening.ports.describe()) == [
            (f"tcp:{port}", ListenerFailure(Code.PORT_IN_USE, "Address already in use"))
        ]
        assert counted("listeners", protocol="tcp", state="failed") == 1
        retrying = asyncio.create_task(listening.ports.retry(0.01))
        other.close()
        await until(lambda: port in listening.ports.sockets)
        retrying.cancel()

    assert listening.opened == [port]
    assert list(listening.ports.describe()) == [(f"tcp:{port}", None)]
    assert [line["code"] for line in lines if line["event"] == "listener.failed"] == ["port_in_use"]


@pytest.mark.parametrize(
    ("number", "code", "word"),
    [
        (errno.EACCES, Code.PORT_UNAVAILABLE, "CAP_NET_BIND_SERVICE"),
        (errno.EMFILE, Code.PORT_UNAVAILABLE, "Too many open files"),
        (errno.EADDRINUSE, Code.PORT_IN_USE, "in use"),
    ],
)
async def test_why_a_port_cannot_be_had_is_said(
    listening: Listening,
    monkeypatch: pytest.MonkeyPatch,
    number: int,
    code: Code,
    word: str,
) -> None:
    def refuse(port: int) -> socket.socket:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(listening.ports, "_bind_port", refuse)
    listening.ports.listen()
    listening.publish(80)

    [(_, failure)] = listening.ports.describe()
    assert failure is not None
    assert failure.code is code
    assert word in failure.detail


async def test_a_port_that_no_descriptor_is_left_for_is_not_half_open(
    listening: Listening, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(port: int, sock: socket.socket) -> None:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(listening.ports, "_on_opened", refuse)
    listening.ports.listen()
    port = free_port()
    listening.publish(port)

    [(_, failure)] = listening.ports.describe()
    assert failure is not None
    assert (failure.code, listening.ports.sockets) == (Code.PORT_UNAVAILABLE, {})
    socket.create_server(("127.0.0.1", port)).close()


async def test_ports_that_cannot_be_had_again_and_again_are_few_lines(listening: Listening) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other, capture_logs() as lines:
        port = int(other.getsockname()[1])
        listening.ports.listen()
        for _ in range(50):
            listening.publish(port)
            listening.withdraw(port)

    assert sum(line["event"] == "listener.failed" for line in lines) <= 2


async def test_a_port_withdrawn_while_it_is_busy_is_no_failure_any_more(
    listening: Listening, counted: Counted
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = int(other.getsockname()[1])
        listening.ports.listen()
        listening.publish(port)
        listening.withdraw(port)

    assert list(listening.ports.describe()) == []
    assert counted("listeners", protocol="tcp", state="failed") == 0
    assert listening.closed == []


async def test_sockets_of_a_predecessor_are_used_and_those_without_a_route_closed(
    listening: Listening,
) -> None:
    own, left = bind_socket("127.0.0.1", 0), bind_socket("127.0.0.1", 0)
    port = int(own.getsockname()[1])
    listening.publish(port)
    listening.ports.inherited |= {port: own, int(left.getsockname()[1]): left}
    listening.ports.listen()

    assert listening.ports.sockets == {port: own}
    assert left.fileno() == -1


async def test_clients_that_wait_are_handed_over_by_port_when_it_stops(
    listening: Listening,
) -> None:
    port = free_port()
    listening.ports.listen()
    listening.publish(port)
    with socket.create_connection(("127.0.0.1", port)) as client:
        [(found, [waiting])] = listening.ports.stop()
        with waiting:
            assert (found, waiting.getpeername()) == (port, client.getsockname())
    listening.publish(free_port())
    assert listening.opened == [port]


async def test_no_more_ports_are_bound_than_leave_descriptors_for_clients(
    listening: Listening, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listening.ports, "_most", 1)
    listening.ports.listen()
    listening.publish(free_port(), free_port())

    failures = [failure for _, failure in listening.ports.describe() if failure]
    assert [failure.code for failure in failures] == [Code.PORT_UNAVAILABLE]
    assert "1 ports are listened on already" in failures[0].detail


async def test_an_edge_listens_for_services_where_agents_connect(tmp_path: Path) -> None:
    environ = {
        "TOWONEL_DATA_DIR": str(tmp_path),
        "TOWONEL_EDGE_LISTEN_ADDR": "127.0.0.1:4443",  # of a proxy in front
        "TOWONEL_EDGE_SESSION_LISTEN_ADDR": "127.0.0.2:443",
    }
    edge, port = Edge(load(EdgeSettings, environ), DEFAULT_TIMING), free_port()
    ports = edge.plane.ports
    with contextlib.closing(ports):
        ports.listen()
        route = Route(ServiceKind.TCP, "ssh", TENANT, port)
        edge.routes.apply(RouteDelta(1, snapshot=True, routes=(route,)))
        assert ports.sockets[port].getsockname() == ("127.0.0.2", port)
