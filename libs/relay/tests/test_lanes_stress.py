"""Many clients over many lanes, of which some are lost: bytes are right, and nothing is left.

Each connection checks every byte it gets against what the other side sends, and hashes it.
"""

import hashlib
import random
import socket
import struct
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import override

import pytest
from support.relay import SESSION, WAIT_S, ClientUse, Relay, tcp_pair

from towonel.relay.edge_lanes import LaneSession
from towonel.relay.lane import Lane
from towonel.relay.sessions.waiting_room import Wait
from towonel.wire.errors import Code

RESET = struct.pack("ii", 1, 0)
SIZES = [0, 1, 100, 5_000, 33_000, 300_000, 2_000_000]
NAME_BYTES = 8


@dataclass
class Side:
    """One side of a connection: what it sends, and how much of the other's it takes."""

    data: bytes
    ending: str  # end | reset: after its bytes | cut: in the middle of the other's
    sock: socket.socket
    got: int = 0
    digest: str = ""
    how: str = ""

    def live(self, other: "Side") -> None:
        with ThreadPoolExecutor(1) as thread, self.sock:
            writing = thread.submit(self._write)
            if self.ending == "reset":
                writing.exception()
            self._read(self._limit(other))
            if self.ending != "end":
                writing.exception()
                self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                self.sock.close()
            if isinstance(writing.exception(), OSError):
                self.how = "reset"

    def _limit(self, other: "Side") -> int:
        return {"end": 1 << 30, "cut": len(other.data) // 2, "reset": 0}[self.ending]

    def _write(self) -> None:
        self.sock.sendall(self.data)
        if self.ending == "end":
            self.sock.shutdown(socket.SHUT_WR)

    def _read(self, most: int) -> None:
        found = hashlib.sha256()
        self.how = "cut"
        try:
            while self.got < most:
                data = self.sock.recv(65_536)
                if not data:
                    self.how = "end"
                    break
                found.update(data)
                self.got += len(data)
        except ConnectionResetError:
            self.how = "reset"
        self.digest = found.hexdigest()

    def check(self, other: "Side") -> None:
        """Check what came from the other side: a prefix of it, and all of it if it ended."""
        assert self.digest == hashlib.sha256(other.data[: self.got]).hexdigest()
        assert self.how != "end" or self.got == len(other.data)


@dataclass(kw_only=True)
class Client(ClientUse):
    """Client that waits for a lane, and tries again where it may."""

    relay: Relay
    at_agent: socket.socket
    content: bytes
    wait: Wait | None = None

    def begin(self) -> None:
        session = self.edge.session
        if not session.open(self.content, self, repeatable=False):
            assert self.edge.lanes.wait([session], self), "the waiting room is full"

    def on_lane(self, session: LaneSession) -> None:
        self.begin()

    def look_elsewhere(self) -> bool:
        return False

    def on_no_lane(self) -> None:
        self.begin()

    @override
    def on_failed(self, code: Code, *, may_retry: bool) -> None:
        if may_retry:
            self.begin()
        else:
            super().on_failed(code, may_retry=may_retry)
            if self.content[1:] not in self.relay.agent.dialed:
                self.at_agent.close()  # its origin waits for a client that does not come


@dataclass
class Load:
    """Clients of one run."""

    relay: Relay
    rng: random.Random
    pattern: bytes
    clean: int = 0

    def connect(self, number: int) -> None:
        """Let one client come and go."""
        (client, at_edge), (origin, at_agent) = tcp_pair(), tcp_pair()
        name = number.to_bytes(NAME_BYTES)
        one, other = self._side(client), self._side(origin)
        use = Client(
            self.relay.edge, at_edge, relay=self.relay, at_agent=at_agent, content=b"\x00" + name
        )
        self.relay.agent.origins_by_name[name] = at_agent
        self.relay.calls.call(use.begin)
        with ThreadPoolExecutor(2) as threads:
            lives = [threads.submit(one.live, other), threads.submit(self._live, other, one, name)]
            for life in lives:
                life.result(WAIT_S * 3)
        one.check(other)
        if one.how == other.how == "end":
            self.clean += 1

    def _live(self, origin: Side, client: Side, name: bytes) -> None:
        """Live as an origin, which first gets the name, unless the client never got a lane."""
        try:
            first = origin.sock.recv(NAME_BYTES, socket.MSG_WAITALL)
        except ConnectionResetError:
            first = b""
        if first != name:
            origin.sock.close()
            return
        origin.live(client)
        origin.check(client)

    def _side(self, sock: socket.socket) -> Side:
        start, size = self.rng.randrange(1 << 20), self.rng.choice(SIZES)
        ending = self.rng.choices(["end", "reset", "cut"], [8, 1, 1])[0]
        return Side(self.pattern[start : start + size], ending, sock)


@pytest.fixture
def relay() -> Iterator[Relay]:
    relay = Relay(lanes=2)
    relay.edge.tell_agent = lambda count: relay.agent.lanes.set_wanted(SESSION, count)
    yield relay
    relay.close()


def lose_some(relay: Relay, rng: random.Random, over: threading.Event) -> None:
    """Lose a lane now and then, at either end."""
    while not over.wait(rng.uniform(0.02, 0.1)):
        relay.calls.call(partial(lose_one, relay, rng))


def lose_one(relay: Relay, rng: random.Random) -> None:
    edge, agent = relay.edge.session, relay.agent.session
    lanes: list[Lane] = [*(edge.busy or edge.idle)]
    if rng.random() < 0.5:
        lanes = [*(agent.busy or agent.idle)]
    if lanes:
        rng.choice(lanes).lose(Code.SESSION_LOST)


@pytest.mark.parametrize("lossy", [False, True], ids=["sound", "lossy"])
@pytest.mark.parametrize(
    ("seed", "count"),
    [(0, 40), *(pytest.param(seed, 1_250, marks=pytest.mark.soak) for seed in range(1, 5))],
)
def test_clients_that_end_in_any_way_leave_nothing_behind(
    relay: Relay, seed: int, count: int, lossy: bool
) -> None:
    rng = random.Random(seed)
    load = Load(relay, rng, rng.randbytes(3 << 20))
    descriptors, over = count_descriptors(), threading.Event()
    with ThreadPoolExecutor(9) as threads:
        losing = threads.submit(lose_some, relay, rng, over) if lossy else None
        list(threads.map(load.connect, range(count)))
        over.set()
        assert losing is None or losing.result(WAIT_S) is None

    check_rest(relay, descriptors)
    assert load.clean > (0 if lossy else count // 4)
    assert lossy or relay.edge.lanes.lost.keys() <= {Code.NORMAL}


def count_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def check_rest(relay: Relay, descriptors: int) -> None:
    """Check that what clients needed is given back, and both ends have counted the same."""
    edge, agent = relay.edge, relay.agent
    relay.wait(lambda: not edge.session.busy and not agent.session.busy)
    relay.wait(lambda: len(edge.session.idle) == len(agent.session.idle))
    assert not edge.session.waits
    lanes, pipes = len(edge.session.idle), len(relay.memory.pipes._free)
    relay.wait(lambda: count_descriptors() - descriptors <= 2 * lanes + 2 * pipes)
    if not edge.lanes.lost:
        assert sum(end.received for end in edge.ended) > 0
