"""Clients of TCP services at an agent's worker: whoever speaks first, and for how long nobody may."""

import contextlib
import socket
import time
from collections.abc import Iterator

import pytest
from support.agent_worker import AgentWorker, facts
from support.relay import WAIT_S
from support.tunnel import PREAMBLE

from towonel.agent.worker.messages import Counters, Origins
from towonel.wire import proxy
from towonel.wire.errors import Code
from towonel.wire.lanes import FrameType, decode_code
from towonel.wire.names import ServiceKind

IDLE_S = 0.3
TCP = ServiceKind.TCP


@pytest.fixture
def origin() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(WAIT_S)
        yield server


def test_an_origin_that_speaks_first_is_heard_by_a_client_that_says_nothing(
    origin: socket.socket,
) -> None:
    with contextlib.closing(AgentWorker(facts("ssh", origin.getsockname(), kind=TCP))) as agent:
        client = agent.open_tcp("ssh")
        with origin.accept()[0] as taken:
            taken.sendall(b"SSH-2.0-Test")
            assert client.answer() == (FrameType.ACCEPT, b"SSH-2.0-Test")
            client.send(b"SSH-2.0-Client")
            assert taken.recv(100) == b"SSH-2.0-Client"


def test_an_origin_that_wants_it_gets_the_clients_address_before_the_client_speaks(
    origin: socket.socket,
) -> None:
    told = facts("ssh", origin.getsockname(), kind=TCP, proxied=True)
    with contextlib.closing(AgentWorker(told)) as agent:
        client = agent.open_tcp("ssh")
        with origin.accept()[0] as taken:
            data = taken.recv(1000)
            taken.sendall(b"hello")
            assert client.answer() == (FrameType.ACCEPT, b"hello")

    found = proxy.read(data)
    assert found is not None
    assert found[0] is not None
    assert (found[0].source, found[0].tlvs) == (PREAMBLE.source, ())
    assert found[1] == len(data)


def test_a_client_of_a_range_gets_the_port_that_it_used_and_no_other(
    origin: socket.socket,
) -> None:
    port = int(origin.getsockname()[1])
    told = facts("game", ("127.0.0.1", 9), kind=TCP, ports=(port - 1, port))
    with contextlib.closing(AgentWorker(told)) as agent:
        assert agent.open_tcp("game", lane=1, port=port + 1).refusal() is Code.NO_SERVICE
        client = agent.open_tcp("game", port=port)
        with origin.accept()[0] as taken:
            taken.sendall(b"hello")
            assert client.answer() == (FrameType.ACCEPT, b"hello")


def test_a_client_that_sends_and_gets_nothing_for_too_long_is_ended_on_both_sides(
    origin: socket.socket,
) -> None:
    told = facts("ssh", origin.getsockname(), kind=TCP, idle_s=IDLE_S)
    with contextlib.closing(AgentWorker(told)) as agent:
        client = agent.open_tcp("ssh")
        with origin.accept()[0] as taken:
            taken.sendall(b"hello")
            assert client.answer() == (FrameType.ACCEPT, b"hello")
            kind, payload = client.answer()
            client.reset(Code.NORMAL)
            taken.settimeout(WAIT_S)
            with pytest.raises(ConnectionResetError):
                taken.recv(1)
        counted = agent.hear(Counters, lambda counters: counters.errors)

    assert (kind, decode_code(payload)) == (FrameType.RESET, Code.CLIENT_TIMEOUT)
    assert dict(counted.errors) == {Code.CLIENT_TIMEOUT: 1}


def test_a_client_that_gets_something_now_and_then_is_not_idle(origin: socket.socket) -> None:
    told = facts("ssh", origin.getsockname(), kind=TCP, idle_s=IDLE_S)
    with contextlib.closing(AgentWorker(told)) as agent:
        client, end = agent.open_tcp("ssh"), time.monotonic() + 5 * IDLE_S
        with origin.accept()[0] as taken:
            while time.monotonic() < end:
                taken.sendall(b".")
                assert client.answer()[1] == b"."
                time.sleep(0.02)


def test_another_limit_is_for_new_clients_alone(
    origin: socket.socket,
) -> None:
    before, after = (
        facts("ssh", origin.getsockname(), kind=TCP, idle_s=idle_s) for idle_s in (0, IDLE_S)
    )
    with contextlib.closing(AgentWorker(before)) as agent:
        agent.lanes *= 2
        first = agent.open_tcp("ssh")
        with origin.accept()[0] as old:
            old.sendall(b"1")
            assert first.answer() == (FrameType.ACCEPT, b"1")
            agent.tell(Origins((after,)))
            second = agent.open_tcp("ssh", lane=1)
            with origin.accept()[0]:
                assert second.answer() == (FrameType.ACCEPT, b"")
                kind, payload = second.answer()
            old.sendall(b"2")
            assert first.answer() == (FrameType.DATA, b"2")
    assert (kind, decode_code(payload)) == (FrameType.RESET, Code.CLIENT_TIMEOUT)
