"""Outboxes of UDP sockets: what leaves in one call, what does not, and who is told that it did not leave."""

import errno
import socket
from collections.abc import Iterator

import pytest
from support.flow_loops import FlowLoop

from towonel.relay.flows.outbox import MAX_RUN, MAX_RUN_BYTES, Outbox
from towonel.relay.flows.sockets import DatagramSocket, Endpoint, bind_datagrams

SO_NO_CHECK = 11  # asm-generic/socket.h: without checksums the kernel cuts nothing


class NotingSender:
    """Sender that notes what was not sent."""

    def __init__(self) -> None:
        self.unsent: list[tuple[int | None, int]] = []
        self.bug: Exception | None = None

    def note_unsent(self, error: OSError, count: int) -> None:
        """Note it."""
        if self.bug is not None:
            raise self.bug
        self.unsent.append((error.errno, count))


class Sending:
    """Outbox, and two sockets that it sends to."""

    def __init__(self) -> None:
        self.loop = FlowLoop()
        self.sock = bind_datagrams("127.0.0.1", 0)
        self.outbox = Outbox(self.loop.loop, DatagramSocket(self.sock), self.loop.crashes.append)
        self.sender, self.other = NotingSender(), NotingSender()
        self.peers = [DatagramSocket(bind_datagrams("127.0.0.1", 0)) for _ in range(2)]
        self.to = [Endpoint((peer.host, port_of(peer))) for peer in self.peers]

    def send(self, *run: bytes, to: int = 0, sender: NotingSender | None = None) -> None:
        """Send datagrams, without the end of a round."""
        for data in run:
            self.outbox.send(data, self.to[to], sender or self.sender)

    def take(self, peer: int = 0) -> list[list[bytes]]:
        """Return what has come to a peer by the end of a round: each list has left in one call."""
        self.loop.turn(times=1)
        found: list[list[bytes]] = []
        while (run := self.peers[peer].receive()) is not None:
            found.append(run[0])
        return found


def port_of(sock: DatagramSocket) -> int:
    """Return the port of a socket."""
    with socket.socket(fileno=socket.dup(sock.fileno())) as same:
        port: int = same.getsockname()[1]
        return port


@pytest.fixture
def sending() -> Iterator[Sending]:
    made = Sending()
    yield made
    for peer in made.peers:
        peer.close()
    made.sock.close()
    made.loop.close()


def test_datagrams_of_a_round_leave_in_one_call_at_its_end_and_a_shorter_one_is_the_last(
    sending: Sending,
) -> None:
    sending.send(b"one", b"two", b"3")
    assert sending.peers[0].receive() is None
    sending.send(b"x")

    assert sending.take() == [[b"one", b"two", b"3"], [b"x"]]
    assert sending.take() == []
    sending.send(b"later")
    assert sending.take() == [[b"later"]]


@pytest.mark.parametrize(
    "run", [[b"12", b"123", b"1"], [b"", b"", b"1"], [b"12", b"", b"12"], [b""]]
)
def test_no_datagram_is_joined_with_one_that_is_larger_or_has_no_bytes(
    sending: Sending, run: list[bytes]
) -> None:
    sending.send(*run)

    assert [data for each in sending.take() for data in each] == run


def test_a_call_has_so_many_datagrams_and_so_many_bytes(sending: Sending) -> None:
    many = [b"%03d" % number for number in range(2 * MAX_RUN + 1)]
    sending.send(*many)
    assert [len(run) for run in sending.take()] == [MAX_RUN, MAX_RUN, 1]
    large = [bytes([number]) * (MAX_RUN_BYTES // 2) for number in range(3)]
    sending.send(*large)

    assert sending.take() == [large[:2], large[2:]]


def test_datagrams_to_others_and_of_others_leave_in_their_order(sending: Sending) -> None:
    sending.send(b"a")
    sending.send(b"b", to=1)
    sending.send(b"c")
    sending.send(b"d", sender=sending.other)

    assert sending.take() == [[b"a"], [b"c"], [b"d"]]
    assert sending.take(1) == [[b"b"]]


def test_what_the_kernel_does_not_cut_leaves_one_by_one(sending: Sending) -> None:
    sending.sock.setsockopt(socket.SOL_SOCKET, SO_NO_CHECK, 1)
    sending.send(b"one", b"two", b"3")

    assert sending.take() == [[b"one"], [b"two"], [b"3"]]
    assert sending.sender.unsent == []


def test_a_kernel_without_such_calls_gets_one_for_each(sending: Sending) -> None:
    sock = DatagramSocket(sending.sock)
    sock.has_segments = False
    sending.outbox = Outbox(sending.loop.loop, sock, sending.loop.crashes.append)
    sending.send(b"one", b"two")

    assert sending.take() == [[b"one"], [b"two"]]


def test_senders_are_told_how_many_were_not_sent(sending: Sending) -> None:
    sending.to[1] = Endpoint(("255.255.255.255", 9))
    sending.send(b"a", b"b", to=1)
    sending.send(b"c", to=1, sender=sending.other)
    sending.send(b"d")

    assert sending.take() == [[b"d"]]
    assert sending.sender.unsent == [(errno.EACCES, 2)]
    assert sending.other.unsent == [(errno.EACCES, 1)]


def test_a_bug_of_a_sender_is_reported_and_the_outbox_goes_on(sending: Sending) -> None:
    sending.to[1] = Endpoint(("255.255.255.255", 9))
    sending.sender.bug = bug = ZeroDivisionError()
    sending.send(b"a", to=1)
    assert sending.take() == []
    sending.send(b"b")

    assert sending.take() == [[b"b"]]
    assert sending.loop.crashes == [bug]
    sending.loop.crashes.clear()
