"""Acceptor: without descriptors, with the last ones in the queue, and beside others on one port."""

import socket
from collections.abc import Iterator

import pytest
from support.descriptors import use_up_descriptors
from support.engine import engine_of_test

from towonel.edge.data_plane.sockets import BACKLOG, bind_socket, take_waiting
from towonel.edge.worker.acceptor import BATCH, Acceptor
from towonel.relay.hop.choice import Hop, load_hop
from towonel.relay.loop import Loop


class Server:
    """A loop that accepts, and what it accepted; each gets one byte."""

    def __init__(self, listener: socket.socket, hop: Hop | None) -> None:
        self.loop = Loop()
        self.port: int = listener.getsockname()[1]
        self.accepted: list[socket.SocketType] = []
        self.errors: list[str] = []
        listener.listen(BACKLOG)
        self.acceptor = Acceptor(listener, self.loop, self.greet, self.errors.append, hop)

    def greet(self, sock: socket.SocketType, *_: object) -> None:
        sock.send(b"!")
        self.accepted.append(sock)

    def turn(self) -> None:
        """Wait for what comes next, which is at least one thing."""
        self.loop.run_once()

    def close(self) -> None:
        self.loop.close()
        for sock in self.accepted:
            sock.close()


@pytest.fixture
def server() -> Iterator[Server]:
    with bind_socket("127.0.0.1", 0) as listener:
        made = Server(listener, load_hop(engine_of_test()))
        yield made
        made.close()


def connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port))


def test_without_descriptors_it_pauses_and_then_goes_on(server: Server) -> None:
    with connect(server.port) as early:
        server.turn()
        assert early.recv(1) == b"!"
        with use_up_descriptors():
            late = connect(server.port)
            server.turn()
            server.turn()
            errors = list(server.errors)
        with late:
            while len(server.accepted) < 2:
                server.turn()
            assert late.recv(1) == b"!"

    assert errors == ["EMFILE"]


def test_others_get_their_turn_while_clients_pour_in(server: Server) -> None:
    clients = [connect(server.port) for _ in range(3 * BATCH)]

    server.turn()

    assert len(server.accepted) == BATCH
    server.turn()
    server.turn()
    assert len(server.accepted) == 3 * BATCH
    for client in clients:
        client.close()


def test_clients_in_the_queue_are_served_although_accepting_stops(server: Server) -> None:
    clients = [connect(server.port) for _ in range(50)]

    server.acceptor.close()

    assert [client.recv(1) for client in clients] == [b"!"] * 50
    with pytest.raises(ConnectionRefusedError):
        connect(server.port)
    for client in clients:
        client.close()


def test_a_stop_without_descriptors_is_final(server: Server) -> None:
    with use_up_descriptors(), connect(server.port):
        server.acceptor.close()

    assert server.errors == ["EMFILE"]
    assert not server.loop.delays.count


def test_what_waits_when_a_listener_is_closed_is_not_reset() -> None:
    with bind_socket("127.0.0.1", 0) as listener:
        listener.listen(BACKLOG)
        clients = [connect(listener.getsockname()[1]) for _ in range(5)]

        waiting = take_waiting(listener)

    assert {sock.getpeername() for sock in waiting} == {sock.getsockname() for sock in clients}
    for sock in (*waiting, *clients):
        sock.close()


def test_several_processes_share_one_port(server: Server) -> None:
    with bind_socket("127.0.0.1", server.port) as listener:
        other = Server(listener, None)
        clients = [connect(server.port) for _ in range(60)]
        while len(server.accepted) + len(other.accepted) < 60:
            for each in (server, other):
                each.acceptor.on_ready(0)

        assert server.accepted
        assert other.accepted
        for client in clients:
            client.close()
        other.close()


def test_a_socket_that_is_bound_takes_no_clients_before_it_listens(server: Server) -> None:
    with bind_socket("127.0.0.1", server.port):
        clients = [connect(server.port) for _ in range(20)]
        while len(server.accepted) < 20:
            server.turn()

    for client in clients:
        client.close()


def test_what_a_dead_worker_leaves_behind_is_reset(server: Server) -> None:
    with connect(server.port) as client:
        server.turn()
        assert client.recv(1) == b"!"
        server.accepted[0].close()

        with pytest.raises(ConnectionResetError):
            client.recv(1)


def test_ipv6_any_takes_ipv4_clients_too() -> None:
    with bind_socket("::", 0) as sock:
        sock.listen()
        with socket.create_connection(("127.0.0.1", sock.getsockname()[1])) as client:
            assert client.getpeername()[0] == "127.0.0.1"


def test_an_address_that_another_program_has_exclusively_is_refused() -> None:
    other = socket.create_server(("127.0.0.1", 0))
    with other, pytest.raises(OSError, match=r"in use"):
        bind_socket("127.0.0.1", other.getsockname()[1])
