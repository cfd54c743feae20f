"""Readers of UDP sockets in a loop."""

import socket
from collections.abc import Iterator

import pytest
from support.flow_loops import FlowLoop

from towonel.relay.flows.reader import DatagramReader
from towonel.relay.flows.sockets import BATCH, DatagramSocket, Endpoint, bind_datagrams


class Reading:
    """Reader of a socket, and a client of that."""

    def __init__(self) -> None:
        self.loop = FlowLoop()
        self.taken: list[bytes] = []
        sock = bind_datagrams("127.0.0.1", 0)
        self.client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.client.connect(sock.getsockname())
        self.reader = DatagramReader(
            self.loop.loop, DatagramSocket(sock), self._take, self.loop.crashes.append
        )

    def _take(self, run: list[bytes], _: Endpoint) -> None:
        if run == [b"bug"]:
            raise ZeroDivisionError
        self.taken += run


@pytest.fixture
def reading() -> Iterator[Reading]:
    made = Reading()
    yield made
    made.reader.close()
    made.client.close()
    made.loop.close()


def test_more_than_a_batch_is_read_in_the_turns_that_follow(reading: Reading) -> None:
    sent = [number.to_bytes(2) for number in range(2 * BATCH + 1)]
    for data in sent:
        reading.client.send(data)
    reading.loop.turn(times=3)

    assert reading.taken == sent


def test_a_datagram_that_meets_a_bug_costs_no_other(reading: Reading) -> None:
    for data in (b"one", b"bug", b"two", b"bug", b"three"):
        reading.client.send(data)
    reading.loop.turn(times=5)

    assert reading.taken == [b"one", b"two", b"three"]
    assert len(reading.loop.crashes) == 2
    reading.loop.crashes.clear()


def test_datagrams_that_leave_in_one_call_are_read_in_one(reading: Reading) -> None:
    runs: list[list[bytes]] = []
    reading.reader.close()
    sock = bind_datagrams("127.0.0.1", 0)
    loop, report_crash = reading.loop.loop, reading.loop.crashes.append
    reading.reader = DatagramReader(
        loop, DatagramSocket(sock), lambda run, _: runs.append(run), report_crash
    )
    with bind_datagrams("127.0.0.1", 0) as other:
        sender = DatagramSocket(other)
        to = Endpoint(sock.getsockname())
        sender.send_run([b"one", b"two", b"3"], 3, to)
        sender.send(b"four", to)
        reading.loop.turn()

    assert runs == [[b"one", b"two", b"3"], [b"four"]]
