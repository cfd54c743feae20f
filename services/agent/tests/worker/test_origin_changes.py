"""Origins that change while a worker serves: whoever is connected goes on, and what comes is for the new ones."""

import contextlib
import socket
from collections.abc import Iterator

import pytest
from support.agent_worker import AgentWorker, facts
from support.relay import WAIT_S

from towonel.agent.worker.messages import Origins, Resolve
from towonel.wire.errors import Code
from towonel.wire.lanes import FrameType


@pytest.fixture
def origins() -> Iterator[tuple[socket.socket, socket.socket]]:
    address = ("127.0.0.1", 0)
    with socket.create_server(address) as one, socket.create_server(address) as other:
        for server in (one, other):
            server.settimeout(WAIT_S)
        yield one, other


def test_a_client_that_is_connected_goes_on_when_its_service_ends_or_moves(
    origins: tuple[socket.socket, socket.socket],
) -> None:
    before, after = (server.getsockname() for server in origins)
    with contextlib.closing(AgentWorker(facts("a.eu", before), facts("b.eu", before))) as agent:
        agent.lanes *= 2
        client = agent.open("a.eu")
        with origins[0].accept()[0] as taken:
            taken.sendall(b"1")
            assert client.answer() == (FrameType.ACCEPT, b"1")
            agent.tell(Origins(ended=(("https", "a.eu"),)))
            agent.tell(Origins((facts("b.eu", after),)))
            assert agent.open("a.eu", lane=1).refusal() is Code.NO_SERVICE
            agent.open("b.eu", lane=1, use=2)
            with origins[1].accept()[0] as moved:
                assert moved.recv(5) == b"hello"
            taken.sendall(b"2")
            assert client.answer() == (FrameType.DATA, b"2")


@pytest.mark.parametrize("ends", [True, False])
def test_a_client_that_waits_for_the_address_of_an_origin_that_goes_is_refused(
    ends: bool,
) -> None:
    with contextlib.closing(AgentWorker(facts("a.eu", named=True))) as agent:
        client = agent.open("a.eu")
        agent.hear(Resolve)
        agent.tell(
            Origins(ended=(("https", "a.eu"),)) if ends else Origins((facts("a.eu", named=True),))
        )
        assert client.refusal() is Code.NO_SERVICE
