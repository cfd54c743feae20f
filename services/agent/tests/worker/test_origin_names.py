"""Origins that have a name: control looks it up, once for all clients that wait."""

import socket
import time
from collections.abc import Iterator

import pytest
from support.agent_worker import AgentWorker, facts
from support.relay import WAIT_S

from towonel.agent.worker.messages import Counters, Resolve, Resolved
from towonel.wire.errors import Code
from towonel.wire.lanes import FrameType

NAME = ("https", "a.eu")


@pytest.fixture
def agent() -> Iterator[AgentWorker]:
    agent = AgentWorker(facts("a.eu", named=True), timeout_s=2)
    yield agent
    agent.close()


@pytest.fixture
def origin() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(WAIT_S)
        yield server


def accept(origin: socket.socket) -> bytes:
    """Take a connection, and answer it."""
    with origin.accept()[0] as taken:
        data = taken.recv(100)
        taken.sendall(b"!")
    return data


def test_clients_wait_for_one_look_up(agent: AgentWorker, origin: socket.socket) -> None:
    clients = [agent.open("a.eu"), agent.open("a.eu", lane=1)]
    agent.hear(Counters, lambda counters: counters.active == 2)
    assert agent.hear(Resolve).service == NAME
    assert not [heard for heard in agent._heard if isinstance(heard, Resolve)]
    agent.tell(Resolved(NAME, (origin.getsockname(),)))

    assert [accept(origin) for _ in clients] == [b"hello"] * 2
    assert [client.answer() for client in clients] == [(FrameType.ACCEPT, b"!")] * 2


def test_a_name_that_does_not_resolve_is_unreachable(agent: AgentWorker) -> None:
    client = agent.open("a.eu")
    agent.hear(Resolve)
    agent.tell(Resolved(NAME, ()))

    assert client.refusal() is Code.ORIGIN_UNREACHABLE


def test_a_name_that_nobody_answers_for_is_given_up_in_time(agent: AgentWorker) -> None:
    client = agent.open("a.eu")

    assert client.refusal() is Code.ORIGIN_TIMEOUT
    assert {len(origin.waiting) for origin in agent.worker.clients._origins.values()} == {0}
    agent.tell(Resolved(NAME, (("127.0.0.1", 1),)))  # for nobody any more


def test_an_origin_that_moved_is_found_where_its_name_points_now(
    agent: AgentWorker, origin: socket.socket
) -> None:
    """Addresses of less than a second are believed, so that clients of a dead origin ask but once."""
    port = origin.getsockname()[1]
    first = agent.open("a.eu")
    agent.hear(Resolve)
    agent.tell(Resolved(NAME, (("127.0.0.9", port),)))
    assert first.refusal() is Code.ORIGIN_REFUSED
    believed_until = time.monotonic() + 1.25  # a second, and a tick of the worker's clock
    agent.hear(Counters, lambda _: time.monotonic() > believed_until)
    client = agent.open("a.eu", lane=1)
    agent.hear(Resolve)
    agent.tell(Resolved(NAME, (("127.0.0.1", port),)))

    assert accept(origin) == b"hello"
    assert client.answer() == (FrameType.ACCEPT, b"!")
