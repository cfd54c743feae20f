"""Failure detector of TCP peers: a peer that is gone is noticed, one that pauses is not ended."""

import asyncio
import contextlib
import os
import socket
import time

import pytest
from support.network import far_machine
from support.tunnel import until

from towonel.tunnel.tcp_output import OutputState, OutputWatch, read_output_state

LIMIT_S = 15.0
IDLE = OutputState(unacknowledged=0, unsent_bytes=0, probes=0, acknowledged_s=3600.0)
FULL = OutputState(unacknowledged=0, unsent_bytes=9, probes=1, acknowledged_s=120.0)


def owing(acknowledged_s: float) -> OutputState:
    return OutputState(2, 100, 0, acknowledged_s)


def looks(*states: tuple[float, OutputState]) -> list[bool]:
    """What a watch says at each time."""
    watch = OutputWatch()
    return [watch.is_dead(state, now, LIMIT_S) for now, state in states]


def test_a_peer_that_owes_an_acknowledgement_for_too_long_is_dead() -> None:
    assert looks((100, owing(3600)), (114, owing(3614)), (115, owing(3615))) == [False, False, True]


def test_each_acknowledgement_starts_the_time_again() -> None:
    assert looks((100, owing(1)), (114, owing(2)), (126, owing(14)), (127, owing(15))) == [
        *(False, False, False),
        True,
    ]


def test_time_without_anything_owed_does_not_count() -> None:
    assert looks((100, owing(50)), (110, IDLE), (116, owing(60)), (130, owing(74))) == [False] * 4


def test_a_peer_whose_window_is_full_lives_while_it_answers_probes() -> None:
    assert looks(*((now, FULL) for now in range(0, 300, 5))) == [False] * 60


def test_a_peer_whose_window_is_full_and_that_answers_no_probe_is_dead() -> None:
    silent = OutputState(0, 9, 3, 100.0)

    assert looks((0, silent), (15, silent)) == [False, True]


def test_what_is_outstanding_is_said_of_segments_and_of_bytes_that_wait() -> None:
    assert [state.is_outstanding for state in (IDLE, FULL, owing(1))] == [False, True, True]


def fill(sock: socket.socket) -> None:
    with contextlib.suppress(BlockingIOError):
        while True:
            sock.send(bytes(65536))


async def test_a_real_reader_that_pauses_owes_nothing_and_has_bytes_waiting() -> None:
    reader, sock = tcp_pair()
    with reader, sock:
        assert not read_output_state(sock).is_outstanding
        fill(sock)
        await until(lambda: read_output_state(sock).unacknowledged == 0)
        state = read_output_state(sock)

    assert state.unsent_bytes > 0
    assert state.probes <= 1


def tcp_pair() -> tuple[socket.socket, socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        client = socket.create_connection(server.getsockname())
        sock, _ = server.accept()
    sock.setblocking(False)
    return client, sock


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a network namespace")
async def test_a_real_peer_that_vanishes_is_dead_after_the_limit_with_its_window_open() -> None:
    with far_machine() as machine, socket.create_server((machine.near, 0)) as server:
        port = server.getsockname()[1]
        with machine.connect(port) as reader, server.accept()[0] as sock:
            sock.send(b"before")
            await asyncio.get_running_loop().sock_recv(reader, 9)
            watch = OutputWatch()
            machine.vanish()
            sock.send(b"into the void")

            await until(lambda: watch.is_dead(read_output_state(sock), time.monotonic(), 0.5))
            state = read_output_state(sock)

    assert state.unacknowledged > 0
    assert state.acknowledged_s >= 0.5
