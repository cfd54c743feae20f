"""Lane under clients and origins that end in any way: what arrives is right, and nothing is left."""

import random
import socket
import struct
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest
from support.relay import Relay

from towonel.relay.pipes import MAX_PIPES

RESET = struct.pack("ii", 1, 0)
PATTERN = random.Random(5).randbytes(1 << 20)


@dataclass
class Plan:
    """What one end of a connection does: so many bytes in such pieces, and then an end."""

    size: int
    piece: int
    ending: str  # end | reset | cut: reset in the middle of what the other sends
    read_piece: int
    pause_s: float


def plan(rng: random.Random) -> Plan:
    size = rng.choice([0, 1, 100, 5_000, 33_000, 300_000, 3_000_000])
    return Plan(
        size=size,
        piece=rng.choice([1_000, 32_768, 200_000]),
        ending=rng.choices(["end", "reset", "cut"], [6, 1, 1])[0],
        read_piece=rng.choice([1_000, 65_536, 1 << 20]),
        pause_s=rng.choice([0, 0, 0, 0.0005]),
    )


def write(sock: socket.socket, todo: Plan) -> None:
    """Write all; raise where the other side has failed, which `recv` then shows as an end."""
    for at in range(0, todo.size, todo.piece):
        sock.sendall(memoryview(PATTERN * 4)[at : min(at + todo.piece, todo.size)])
        time.sleep(todo.pause_s)
    if todo.ending == "end":
        sock.shutdown(socket.SHUT_WR)


def read(sock: socket.socket, todo: Plan, most: int) -> tuple[int, str]:
    """Read to the end, or until `most` bytes came; return how many, and how it ended."""
    expected = memoryview(PATTERN * 4)
    got = 0
    try:
        while got < most:
            data = sock.recv(todo.read_piece)
            if not data:
                return got, "end"
            assert data == expected[got : got + len(data)], "bytes are wrong or out of order"
            got += len(data)
            time.sleep(todo.pause_s)
    except ConnectionResetError:
        return got, "reset"
    return got, "cut"


def live(sock: socket.socket, todo: Plan, peer: Plan) -> tuple[int, str]:
    with ThreadPoolExecutor(1) as thread, sock:
        writing = thread.submit(write, sock, todo)
        most = peer.size // 2 if todo.ending == "cut" else 1 << 30
        if todo.ending == "reset":
            writing.exception()
            most = 0
        got, how = read(sock, todo, most)
        if todo.ending != "end":
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            sock.close()
        return got, "reset" if isinstance(writing.exception(), OSError) else how


def let_connect(relay: Relay, rng: random.Random, threads: ThreadPoolExecutor) -> None:
    """Let a client come and go, and check what either side got."""
    client, origin = plan(rng), plan(rng)
    use = relay.open_use()
    assert use.origin.recv(5, socket.MSG_WAITALL) == b"hello"
    ends = [
        threads.submit(live, use.client, client, origin),
        threads.submit(live, use.origin, origin, client),
    ]
    (down, how_down), (up, how_up) = (end.result(60) for end in ends)
    edge, agent = use.wait_ended()
    use.wait_idle()
    # An end, and not a reset, comes only after all bytes.
    assert how_up != "end" or up == client.size
    assert how_down != "end" or down == origin.size
    if client.ending == origin.ending == "end":
        assert (how_up, how_down) == ("end", "end")
        assert (edge.received, edge.sent) == (client.size, origin.size)
        assert (agent.received, agent.sent) == (origin.size, client.size + 5)


@pytest.mark.parametrize("pipes", [MAX_PIPES, 0], ids=["spliced", "copied"])
@pytest.mark.parametrize(
    ("seed", "count"),
    [(0, 12), *(pytest.param(seed, 100, marks=pytest.mark.soak) for seed in range(8))],
)
def test_connections_that_end_in_any_way_leave_the_lane_as_it_was(
    pipes: int, seed: int, count: int
) -> None:
    rng = random.Random(seed)
    relay = Relay(pipes=pipes)
    try:
        with ThreadPoolExecutor(2) as threads:
            for _ in range(count):
                let_connect(relay, rng, threads)
        assert relay.edge.lanes.lost == relay.agent.lanes.lost == {}
        assert relay.edge.lane.state.use == relay.agent.lane.state.use == count
    finally:
        relay.close()
