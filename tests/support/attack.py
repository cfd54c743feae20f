"""Attack measurement: what a hostile peer costs its victim, and whether others are served meanwhile."""

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

from support.programs import OwnProcess, Program
from support.stack import Stack, until

from towonel.client.hub import HubClient
from towonel.identity.keys import NodeKey
from towonel.wire.tokens import EdgeToken

MEMORY_LIMIT = 24 * 1024 * 1024
SERVED_WITHIN_S = 2.0
OUTLASTED_S = 20.0  # by no wait at all, whatever else the machine does
LOG_LINES_PER_S = 50
OF_HONEST = 8  # descriptors of a caller, who may be there or not, and of lanes dialled for others
_BETWEEN_S = 0.1


@dataclass
class Measured:
    """What was seen while an attack lasted."""

    victim: OwnProcess
    bytes_before: int = field(init=False)
    peak_bytes: int = 0
    waits_s: list[float] = field(default_factory=list[float])
    own_waits_s: list[float] = field(default_factory=list[float])  # without waits for a processor
    failures: list[str] = field(default_factory=list[str])

    def __post_init__(self) -> None:
        self.bytes_before = self.victim.resident_bytes()
        self._lines_before = _count_lines(self.victim)
        self._started = _now()

    def processor_wait_s(self) -> float:
        """Return how long the victim and this process have waited for a processor, all in all."""
        pids = [os.getpid(), self.victim.process.pid, *self.victim.workers()]
        return sum(map(_processor_wait_s, pids))

    def check(self, memory: int) -> None:
        """Assert what the victim must withstand."""
        grown = self.peak_bytes - self.bytes_before
        lasted_s = max(_now() - self._started, 1)
        assert not self.failures, f"honest callers were not served: {self.failures[:3]}"
        assert grown < memory, f"the victim grew by {grown / 2**20:.1f} MiB"
        assert max(self.waits_s) < OUTLASTED_S, f"an honest caller waited for {max(self.waits_s)} s"
        waited_s = max(self.own_waits_s)
        assert waited_s < SERVED_WITHIN_S, f"an honest caller waited for {waited_s:.1f} s"
        lines = _count_lines(self.victim) - self._lines_before
        assert lines < LOG_LINES_PER_S * lasted_s, f"{lines} lines of log in {lasted_s:.1f} s"


@contextlib.asynccontextmanager
async def withstanding(
    victim: Program, serve: Callable[[], Awaitable[object]], *, memory: int = MEMORY_LIMIT
) -> AsyncIterator[Measured]:
    """Attack `victim`, a process, inside this context; at its end, assert what it must withstand.

    It grows by less than `memory` bytes, writes less than 50 lines of log a second, and `serve`,
    what an honest client or agent does over and over, takes less than two seconds each time: not
    counted is what other programs have taken of them, while the victim was ready to go on.
    """
    assert isinstance(victim, OwnProcess), "memory is that of a process of its own"
    await serve()  # what the first call allocates is not the attack's
    seen = Measured(victim)
    async with asyncio.TaskGroup() as tasks:
        watches = [tasks.create_task(_keep_serving(serve, seen))]
        watches.append(tasks.create_task(_watch_memory(seen)))
        try:
            yield seen
            await _serve_once_more(seen)
        finally:
            for watch in watches:
                watch.cancel()
    seen.check(memory)


@contextlib.asynccontextmanager
async def honest_callers(stack: Stack) -> AsyncIterator[Callable[[], Awaitable[None]]]:
    """An operator with a key and an edge with one of its own; what is yielded asks for both."""
    async with stack.operator() as operator, HubClient(stack.hub_url) as client:
        invite = await operator.edge_invites.create("honest")
        edge = NodeKey.from_seed(EdgeToken.decode(invite.token).seed)

        async def serve() -> None:
            await operator.invites.list()
            await client.follow_routes(edge, None)

        yield serve


@contextlib.asynccontextmanager
async def silent_clients(
    port: int, first: bytes, count: int, source: str
) -> AsyncIterator[list[socket.socket]]:
    """Clients of one address that say `first`, and then nothing."""
    loop = asyncio.get_running_loop()
    made: list[socket.socket] = []
    with contextlib.ExitStack() as stack:
        for _ in range(count):
            sock = stack.enter_context(socket.socket())
            sock.setblocking(False)
            sock.bind((source, 0))
            await loop.sock_connect(sock, ("127.0.0.1", port))
            await loop.sock_sendall(sock, first)
            made.append(sock)
            await asyncio.sleep(0.001)  # it is places that they take, and not the processor
        yield made


async def wait_descriptors(victim: Program, before: int) -> None:
    """Wait until a process has no more descriptors than before, but those of an honest caller."""
    assert isinstance(victim, OwnProcess), "descriptors are those of a process of its own"
    await until(lambda: victim.count_descriptors() <= before + OF_HONEST)


async def _keep_serving(serve: Callable[[], Awaitable[object]], seen: Measured) -> None:
    while True:
        started, delayed_s = _now(), seen.processor_wait_s()
        try:
            await serve()
        except Exception as error:  # noqa: BLE001 whatever it is, the honest caller was not served
            seen.failures.append(f"{type(error).__name__}: {error}")
        waited_s = _now() - started
        seen.waits_s.append(waited_s)
        seen.own_waits_s.append(waited_s - (seen.processor_wait_s() - delayed_s))
        await asyncio.sleep(_BETWEEN_S)


async def _serve_once_more(seen: Measured) -> None:
    """Wait until an honest caller was served whose call began after the attack's last packet."""
    count = len(seen.waits_s)
    async with asyncio.timeout(60):
        while len(seen.waits_s) < count + 2:
            await asyncio.sleep(_BETWEEN_S)


async def _watch_memory(seen: Measured) -> None:
    while True:
        seen.peak_bytes = max(seen.peak_bytes, seen.victim.resident_bytes())
        await asyncio.sleep(_BETWEEN_S)


def _processor_wait_s(pid: int) -> float:
    """Return how long the threads of a process have been ready to run, and have not run."""
    files = Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(file.read_text().split()[1]) for file in files) / 1e9


def _count_lines(victim: OwnProcess) -> int:
    with victim.log_file.open("rb") as log:
        return sum(1 for _ in log)


def _now() -> float:
    return asyncio.get_running_loop().time()
