"""Memory that the kernel holds for relayed sockets: buffers that have grown are bounded."""

import socket
from collections.abc import Iterator

import pytest
from support.relay import Relay, Use, tcp_pair

from towonel.relay.sockets import NOTSENT_BYTES, RECEIVE_BYTES, bound_receive_buffer, tune_short

SIZE = 300_000


def grown(sock: socket.SocketType) -> bool:
    """Let a receive buffer have the size that one may grow to, and return whether the system does."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BYTES // 2 + 4096)
    return size_of(sock) > RECEIVE_BYTES


def size_of(sock: socket.SocketType) -> int:
    return sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)


with socket.socket() as _probe:
    pytestmark = pytest.mark.skipif(not grown(_probe), reason="net.core.rmem_max is too low")


@pytest.fixture(params=[False, True], ids=["plain", "tls"])
def relay(request: pytest.FixtureRequest) -> Iterator[Relay]:
    relay = Relay(tls=request.param)
    yield relay
    relay.close()


def test_a_buffer_is_bounded_once_it_has_grown() -> None:
    one, other = tcp_pair()
    with one, other:
        small = size_of(one)
        assert not bound_receive_buffer(one)
        assert size_of(one) == small

        assert grown(one)
        assert bound_receive_buffer(one)
        assert size_of(one) == RECEIVE_BYTES


def test_what_a_peer_does_not_take_waits_with_its_sender() -> None:
    with socket.socket() as sock:
        tune_short(sock)

        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT) == NOTSENT_BYTES


def sockets_of(relay: Relay, use: Use) -> list[socket.SocketType]:
    """Return all sockets that the bytes of a use come from."""
    origin = relay.agent.lane.connection
    assert origin is not None
    return [use.at_edge.sock, relay.edge.lane.sock, relay.agent.lane.sock, origin.sock]


def test_bulk_bounds_the_buffers_of_client_lanes_and_origin(relay: Relay) -> None:
    use = relay.open_use()
    use.origin.sendall(b"!")
    assert use.client.recv(1) == b"!"
    found = relay.calls.call(lambda: sockets_of(relay, use))
    assert all(map(grown, found))

    for sender, receiver in ((use.client, use.origin), (use.origin, use.client)):
        sender.sendall(bytes(SIZE))
        receiver.recv(SIZE, socket.MSG_WAITALL)

    relay.wait(lambda: all(size_of(sock) == RECEIVE_BYTES for sock in found))
    use.close()
