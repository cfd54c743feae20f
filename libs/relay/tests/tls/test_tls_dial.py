"""TLS lanes at the agent: it trusts one certificate, and an agent that wants TLS never goes without."""

import socket
import ssl
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from support.lane_peers import accept_lane, receive
from support.relay import Relay
from support.tls_lanes import NAME, accept_tls_lane, server_context, take_bytes

from towonel.identity.certs import create_certificate, encode_private_key
from towonel.identity.keys import NodeKey
from towonel.relay.agent_lanes import LaneKind
from towonel.wire.clienthello import ClientHello, read
from towonel.wire.errors import Code
from towonel.wire.lane_admission import ALPN

STRANGER = NodeKey.from_seed(b"x" * 32)
FORGED = create_certificate(STRANGER, datetime(2026, 1, 1, tzinfo=UTC))
TLS_ONLY, AUTO = (LaneKind.TLS,), (LaneKind.PLAIN, LaneKind.TLS)


@pytest.fixture
def agent() -> Iterator[Relay]:
    relay = Relay(lanes=0)
    yield relay
    relay.close()


@pytest.fixture
def server() -> Iterator[socket.socket]:
    """The edge's port, where the test answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(20)
        yield server


def dial(agent: Relay, server: socket.socket, kinds: tuple[LaneKind, ...] = TLS_ONLY) -> None:
    target = replace(agent.target, address=server.getsockname(), server_name=NAME, kinds=kinds)
    agent.calls.call(lambda: agent.agent.lanes.add_session(target, 1))


def wait_failed(agent: Relay, code: Code) -> None:
    agent.wait(lambda: agent.agent.lanes.failed == {code: 1})


def test_an_edge_of_another_tls_library_gets_a_lane(agent: Relay, server: socket.socket) -> None:
    dial(agent, server)
    peer = accept_tls_lane(server)
    with peer.sock:
        agent.wait(lambda: agent.agent.lanes.admitted == {LaneKind.PLAIN: 0, LaneKind.TLS: 1})
        assert isinstance(peer.sock, ssl.SSLSocket)
        assert (peer.sock.version(), peer.sock.selected_alpn_protocol()) == (
            "TLSv1.3",
            ALPN.decode(),
        )


def test_its_hello_says_what_it_is_and_whom_it_asks_for(
    agent: Relay, server: socket.socket
) -> None:
    dial(agent, server)
    with server.accept()[0] as sock:
        hello = read(receive_hello(sock))

    assert isinstance(hello, ClientHello)
    assert (hello.server_name, hello.protocols) == (NAME, (ALPN,))
    assert not hello.has_early_data


def receive_hello(sock: socket.socket) -> bytes:
    head = receive(sock, 5)
    return head + receive(sock, int.from_bytes(head[3:]))


def test_an_edge_with_another_certificate_is_told_nothing(
    agent: Relay, server: socket.socket
) -> None:
    """Whoever sits in between may speak TLS, and has no key that the hub named."""
    dial(agent, server)

    assert take_bytes(server, server_context(FORGED, encode_private_key(STRANGER))) == b""
    wait_failed(agent, Code.CERTIFICATE_MISMATCH)


def test_a_server_of_other_protocols_is_told_nothing(agent: Relay, server: socket.socket) -> None:
    dial(agent, server)

    assert take_bytes(server, server_context(protocol="h2")) == b""
    wait_failed(agent, Code.UNSUPPORTED_VERSION)


def test_a_server_of_older_tls_is_told_nothing(agent: Relay, server: socket.socket) -> None:
    dial(agent, server)
    old = server_context()
    old.maximum_version = ssl.TLSVersion.TLSv1_2

    assert take_bytes(server, old) == b""
    wait_failed(agent, Code.SESSION_LOST)


def test_whatever_fails_an_agent_that_wants_tls_begins_with_tls(
    agent: Relay, server: socket.socket
) -> None:
    dial(agent, server)
    first: set[bytes] = set()
    for failures in range(1, 10):
        with server.accept()[0] as sock:
            first.add(sock.recv(1))
        agent.wait(lambda: agent.agent.session.choice.failures == failures)  # noqa: B023 at once
        agent.pass_time(600)

    assert first == {b"\x16"}
    assert agent.agent.reports == [Code.SESSION_LOST]


def test_where_plain_lanes_fail_there_are_tls_lanes_until_plain_ones_work(agent: Relay) -> None:
    agent.edge.acceptor.is_tls = True  # a box on the way takes nothing else
    dial(agent, agent.edge.acceptor.sock, AUTO)
    for failures in (1, 2):
        agent.wait(lambda: agent.agent.session.choice.failures == failures)  # noqa: B023 at once
        agent.pass_time(2)
    agent.wait(lambda: agent.agent.session.choice.failures in {0, 3})
    agent.pass_time(2)
    agent.wait(lambda: agent.agent.lanes.admitted[LaneKind.TLS] == 1)
    agent.wait(lambda: agent.agent.session.choice.preferred is LaneKind.PLAIN)
    agent.edge.acceptor.is_tls = False
    agent.pass_time(80)

    agent.wait(lambda: agent.agent.session.choice.kind is LaneKind.PLAIN)
    assert agent.agent.lanes.admitted[LaneKind.PLAIN] == 1
    assert [code for code in agent.agent.reports if code is not None] == []


def test_plain_lanes_that_go_on_failing_leave_the_tls_lanes_alone(
    agent: Relay, server: socket.socket
) -> None:
    dial(agent, server, AUTO)
    for failures in (1, 2, 3):
        server.accept()[0].close()
        agent.wait(lambda: agent.agent.session.choice.failures == failures)  # noqa: B023 at once
        agent.pass_time(2)
    peer = accept_tls_lane(server)
    agent.wait(lambda: len(agent.agent.session.idle) == 1)
    with peer.sock:
        peer.sock.sendall(pong_of(peer.sock))
        agent.wait(lambda: agent.agent.session.choice.preferred is LaneKind.PLAIN)
        agent.pass_time(80)
        server.accept()[0].close()  # the trial
        agent.wait(lambda: sum(agent.agent.lanes.failed.values()) == 4)

        assert len(agent.agent.session.idle) == 1
        assert agent.agent.session.choice.kind is LaneKind.TLS
        assert [code for code in agent.agent.reports if code is not None] == []


def pong_of(sock: socket.socket) -> bytes:
    """The answer to the PING that must come."""
    ping = receive(sock, 12)
    return bytes([0x80]) + ping[1:]


def test_a_plain_lane_is_what_an_agent_of_auto_asks_for_first(
    agent: Relay, server: socket.socket
) -> None:
    dial(agent, server, AUTO)
    with accept_lane(server).sock:
        agent.wait(lambda: agent.agent.lanes.admitted[LaneKind.PLAIN] == 1)
