"""Clients of lanes at an agent's worker: they reach their origins, or are refused by code."""

import contextlib
import socket
from collections.abc import Generator, Iterator

import pytest
from support.agent_worker import AgentWorker, facts
from support.engine import BOTH
from support.origins import silent_port
from support.relay import ABORT, SESSION, WAIT_S
from support.tunnel import PREAMBLE

from towonel.agent.worker.messages import (
    Counters,
    Drain,
    Drained,
    HeadersUnread,
    Refused,
    SessionEnded,
)
from towonel.relay.hop.choice import Engine
from towonel.wire import proxy
from towonel.wire.errors import Code
from towonel.wire.lanes import FrameType, decode_code


@pytest.fixture
def origin() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(WAIT_S)
        yield server


@contextlib.contextmanager
def worker(*args: object, **kwargs: object) -> Generator[AgentWorker]:
    running = AgentWorker(*args, **kwargs)  # type: ignore[arg-type]
    try:
        yield running
    finally:
        running.close()


def accept(origin: socket.socket) -> socket.socket:
    taken = origin.accept()[0]
    taken.settimeout(WAIT_S)
    return taken


def refuse_port() -> int:
    """A port on which nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def test_a_client_reaches_its_origin_and_is_counted(origin: socket.socket) -> None:
    with worker(facts("a.eu", origin.getsockname())) as agent:
        client = agent.open("a.eu", b"hello ")
        with accept(origin) as taken:
            assert taken.recv(100) == b"hello "
            taken.sendall(b"welcome")
            assert client.answer() == (FrameType.ACCEPT, b"welcome")
            client.send(b"world")
            client.end()
            assert taken.recv(100) == b"world"
            assert taken.recv(100) == b""
        assert client.read_all() == b""
        counted = agent.hear(Counters, lambda counters: counters.completed)

    assert (counted.active, counted.errors) == (0, ())
    assert counted.accepted == (("lane", 1),)
    assert (counted.to_origin, counted.to_edge) == (11, 7)


def test_a_silent_origin_is_accepted_all_the_same(origin: socket.socket) -> None:
    with worker(facts("a.eu", origin.getsockname())) as agent:
        client = agent.open("a.eu", b"")
        with accept(origin):
            assert client.answer() == (FrameType.ACCEPT, b"")


def test_an_origin_that_wants_it_gets_the_clients_address_before_any_byte(
    origin: socket.socket,
) -> None:
    with worker(facts("a.eu", origin.getsockname(), proxied=True)) as agent:
        client = agent.open("a.eu", b"hello")
        with accept(origin) as taken:
            data = taken.recv(1000)
            client.end()
            assert taken.recv(1) == b""
        client.read_all()
        counted = agent.hear(Counters, lambda counters: counters.completed)

    found = proxy.read(data)
    assert found is not None
    assert found[0] is not None
    assert (found[0].source, found[0].destination) == (PREAMBLE.source, PREAMBLE.destination)
    assert data[found[1] :] == b"hello"
    assert counted.to_origin == len(b"hello"), "the header is nobody's bytes"


def test_a_client_for_whom_there_is_no_origin_is_refused_by_code() -> None:
    port = refuse_port()
    with worker(facts("a.eu", ("127.0.0.1", port)), facts("b.eu")) as agent:
        agent.lanes *= 2
        refused = [agent.open("a.eu").refusal(), agent.open("c.eu", lane=1).refusal()]
        counted = agent.hear(Counters, lambda counters: len(counters.errors) > 1)
        told = agent.hear(Refused, lambda told: told.service == ("https", "a.eu"))

    assert refused == [Code.ORIGIN_REFUSED, Code.NO_SERVICE]
    assert dict(counted.errors) == {Code.ORIGIN_REFUSED: 1, Code.NO_SERVICE: 1}
    assert (told.code, told.count) == (Code.ORIGIN_REFUSED, 1)


def test_an_open_that_cannot_be_read_is_refused_and_the_lane_serves_the_next(
    origin: socket.socket,
) -> None:
    with worker(facts("a.eu", origin.getsockname())) as agent:
        assert agent.open_with(b"\x00junk").refusal() is Code.BAD_PREAMBLE
        client = agent.open_with(b"\x00", use=2)
        assert client.refusal() is Code.BAD_PREAMBLE


def test_an_origin_that_does_not_answer_is_given_up_in_time() -> None:
    with (
        silent_port("127.0.0.1") as port,
        worker(facts("a.eu", ("127.0.0.1", port)), timeout_s=0.2) as agent,
    ):
        assert agent.open("a.eu").refusal() is Code.ORIGIN_TIMEOUT


@pytest.mark.parametrize("kind", ["silent", "closed", "other family"])
def test_of_several_addresses_one_that_does_not_answer_holds_no_client_up(
    origin: socket.socket, kind: str
) -> None:
    port = origin.getsockname()[1]
    other = ("::1" if kind == "other family" else "127.0.0.9", port)
    with contextlib.ExitStack() as held:
        if kind == "silent":
            held.enter_context(silent_port(*other))
        agent = held.enter_context(worker(facts("a.eu", other, ("127.0.0.1", port))))
        client = agent.open("a.eu")
        with accept(origin) as taken:
            assert taken.recv(100) == b"hello"
            taken.sendall(b"!")
            assert client.answer() == (FrameType.ACCEPT, b"!")


def test_a_client_too_many_is_sent_elsewhere(origin: socket.socket) -> None:
    with worker(facts("a.eu", origin.getsockname()), most=1) as agent:
        agent.open("a.eu")
        with accept(origin):
            assert agent.open("a.eu", lane=1).refusal() is Code.OVERLOADED


def test_clients_of_all_processes_count_and_one_that_is_gone_makes_room(
    origin: socket.socket,
) -> None:
    with worker(facts("a.eu", origin.getsockname()), most=4) as agent:
        counts = agent.clients.counts
        counts.put(3)  # by stream
        client = agent.open("a.eu")
        with accept(origin) as taken:
            assert taken.recv(100) == b"hello"
            assert counts.elsewhere == 1
            assert agent.open("a.eu", lane=1).refusal() is Code.OVERLOADED
        client.end()
        assert client.read_all() == b""
        agent.hear(Counters, lambda counters: counters.completed)
        assert counts.elsewhere == 0
        counts.put(4)
        assert agent.open_with(b"\x00junk", lane=1, use=2).refusal() is Code.BAD_PREAMBLE
        assert agent.open("a.eu", lane=0, use=2).refusal() is Code.OVERLOADED


def test_a_client_that_leaves_while_its_origin_is_dialled_is_forgotten() -> None:
    with (
        silent_port("127.0.0.1") as port,
        worker(facts("a.eu", ("127.0.0.1", port))) as agent,
    ):
        client = agent.open("a.eu")
        client.reset(Code.CLIENT_CLOSED)
        kind, _ = client.answer()
        counted = agent.hear(Counters, lambda counters: counters.errors)

    assert kind is FrameType.RESET, "the lane's last frame of the use"
    assert counted.active == 0
    assert dict(counted.errors) == {Code.CLIENT_CLOSED: 1}
    assert agent.clients.counts.elsewhere == 0


def test_a_reset_of_the_origin_is_a_reset_with_its_code(origin: socket.socket) -> None:
    with worker(facts("a.eu", origin.getsockname())) as agent:
        client = agent.open("a.eu")
        taken = accept(origin)
        taken.sendall(b"!")
        assert client.answer() == (FrameType.ACCEPT, b"!")
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, ABORT)
        taken.close()

        kind, payload = client.answer()
    assert (kind, decode_code(payload)) == (FrameType.RESET, Code.ORIGIN_RESET)


@pytest.mark.parametrize(
    ("answer", "is_unread"),
    [(b"", True), (b"HTTP/1.1 400 Bad Request", True), (b"\x16\x03\x03\x00\x7a", False)],
)
def test_an_origin_that_closes_on_its_proxy_header_is_reported(
    origin: socket.socket, answer: bytes, is_unread: bool
) -> None:
    with worker(facts("a.eu", origin.getsockname(), proxied=True)) as agent:
        client = agent.open("a.eu")
        with accept(origin) as taken:
            taken.recv(1000)
            taken.sendall(answer)
        assert client.read_all() == answer
        client.end()
        agent.hear(Counters, lambda counters: counters.completed)
        agent.tell(Drain())
        agent.hear(Drained)

        assert bool([m for m in agent._heard if isinstance(m, HeadersUnread)]) is is_unread


def test_a_drain_takes_no_more_clients_and_ends_with_the_last(origin: socket.socket) -> None:
    with worker(facts("a.eu", origin.getsockname())) as agent:
        client = agent.open("a.eu")
        with accept(origin) as taken:
            taken.recv(100)
            agent.tell(Drain())
            assert agent.open("a.eu", lane=1).refusal() is Code.GOING_AWAY
            taken.sendall(b"the last page")
        client.end()

        assert client.read_all() == b"the last page"
        agent.hear(Drained)
        assert all(lane.is_closed() for lane in agent.lanes)


def test_a_worker_without_control_lets_its_clients_finish_and_ends(origin: socket.socket) -> None:
    with worker(facts("a.eu", origin.getsockname())) as agent:
        client = agent.open("a.eu")
        with accept(origin) as taken:
            taken.recv(100)
            agent.channel.close()
            with pytest.raises((EOFError, ConnectionResetError)):
                agent.lanes[1].read_frame()
            taken.sendall(b"the last page")
        client.end()

        assert client.read_all() == b"the last page"
        agent.running.result(WAIT_S)


@pytest.mark.parametrize("cut", [None, Code.TENANT_REVOKED])
def test_the_clients_of_a_session_that_ended_finish_unless_they_are_cut(
    origin: socket.socket, cut: Code | None
) -> None:
    with worker(facts("a.eu", origin.getsockname())) as agent:
        client = agent.open("a.eu")
        with accept(origin) as taken:
            taken.recv(100)
            agent.tell(SessionEnded(SESSION, cut))
            assert agent.lanes[1].is_closed()
            if cut:
                with pytest.raises(ConnectionResetError):
                    taken.recv(1)
            else:
                taken.sendall(b"more")
                assert client.answer() == (FrameType.ACCEPT, b"more")


@pytest.mark.parametrize("engine", BOTH)
def test_clients_are_carried_by_the_engine_that_control_names(
    engine: Engine, origin: socket.socket
) -> None:
    address = origin.getsockname()
    with worker(facts("app.eu", address), engine=engine) as agent:
        client = agent.open("app.eu")
        with accept(origin) as served:
            assert served.recv(99) == b"hello"
            served.sendall(b"welcome")
            served.close()
            assert client.read_all() == b"welcome"
            client.end()

        assert (agent.memory.hop is None) == (engine is Engine.PYTHON)
