"""Connections that end in random ways: every byte that arrives is right, and nothing is left of them."""

import asyncio
import contextlib
import random
import socket
import struct
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pytest
from support.clients import client_hello
from support.descriptors import links_of
from support.origins import listening
from support.programs import OwnProcess
from support.stack import Stack, running_stack, service, settle, until

pytestmark = pytest.mark.asyncio(loop_scope="module")
MANY = [pytest.mark.soak, pytest.mark.timeout(900)]  # over streams they take five minutes
AT_ONCE = 40
MAX_BYTES = 300_000
WITHIN_S = 60
ALERT = bytes([21, 3, 3, 0, 2, 2, 80])
RESET = struct.pack("ii", 1, 0)
NUMBER = struct.Struct(">Q")
ENDINGS = ("client first", "origin first", "client resets", "origin resets", "both at once")


@dataclass(frozen=True)
class Script:
    """What both ends of one connection do, by its number."""

    ending: str
    up: bytes
    down: bytes
    pause_s: float

    @classmethod
    def of(cls, number: int) -> "Script":
        rng = random.Random(number)
        sizes = [rng.randrange(rng.choice((2, 2_000, MAX_BYTES))) for _ in range(2)]
        up, down = (rng.randbytes(size) for size in sizes)
        return cls(rng.choice(ENDINGS), up, down, rng.choice((0, 0, 0.002, 0.02)))


@dataclass
class Origin:
    """Origin that plays its part of each script, and notes what it saw."""

    hello: bytes
    seen: Counter[str] = field(default_factory=Counter[str])
    active: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.active += 1
        try:
            head = await reader.readexactly(len(self.hello) + NUMBER.size)
            script = Script.of(NUMBER.unpack(head[len(self.hello) :])[0])
            self.seen[await play(reader, writer, script, script.up, script.down, "origin")] += 1
        except (ConnectionError, asyncio.IncompleteReadError) as error:
            self.seen[type(error).__name__] += 1
        finally:
            writer.close()
            self.active -= 1


async def play(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    script: Script,
    expected: bytes,
    mine: bytes,
    who: str,
) -> str:
    """Play one end of a script, and return what it came to."""
    if script.ending == f"{who} resets":
        await reset(writer, mine[: len(mine) // 2], script.pause_s)
        return "has reset"
    received = b""
    if "first" in script.ending and script.ending != f"{who} first":
        received = await reader.read(-1)
    with contextlib.suppress(OSError):  # what came before is read
        await asyncio.sleep(script.pause_s)
        writer.write(mine)
        writer.write_eof()
    try:
        received += await reader.read(-1)
    except OSError:
        return "was reset" if "resets" in script.ending else "wrong reset"
    return judge_end(script, received, expected)


async def reset(writer: asyncio.StreamWriter, data: bytes, after_s: float) -> None:
    """End a connection by a reset, some time after the last bytes."""
    writer.write(data)
    await asyncio.sleep(after_s)
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    writer.transport.abort()


def judge_end(script: Script, received: bytes, expected: bytes) -> str:
    """Return what a connection came to that has ended without a reset."""
    if "resets" in script.ending:
        # What the kernel drops with a reset may be all: then the edge says that there is no answer.
        return (
            "refused" if received == ALERT else f"an end after {len(received)} bytes, not a reset"
        )
    return "whole" if received == expected else f"{len(received)} of {len(expected)} bytes"


async def converse(port: int, hello: bytes, number: int) -> str:
    """Play the client's part of a script."""
    script = Script.of(number)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(hello + NUMBER.pack(number))
        return await play(reader, writer, script, script.down, script.up, "client")
    finally:
        writer.close()


async def converse_all(port: int, hello: bytes, numbers: Iterable[int]) -> Counter[str]:
    """Play the scripts of connections of these numbers, some at once."""
    seen, places = Counter[str](), asyncio.Semaphore(AT_ONCE)

    async def one(number: int) -> None:
        async with places, asyncio.timeout(WITHIN_S):
            seen[await converse(port, hello, number)] += 1

    async with asyncio.TaskGroup() as tasks:
        for number in numbers:
            tasks.create_task(one(number))
    return seen


@contextlib.asynccontextmanager
async def playing(hello: bytes) -> AsyncIterator[tuple[Origin, int]]:
    origin = Origin(hello)
    server = await asyncio.start_server(origin.serve, "127.0.0.1", 0)
    try:
        port = server.sockets[0].getsockname()[1]
        await listening(port)
        yield origin, port
    finally:
        server.close()


def descriptors(stack: Stack) -> list[int]:
    """How many descriptors each process of edge and agents has, and each of their workers.

    Connections to the hub do not count: one more may be opened, and is kept.
    """
    pids, to_hub = list[int](), sockets_to(stack.hub_port)
    for node in (*stack.edges, *stack.agents):
        assert isinstance(node.program, OwnProcess)
        pids += [node.program.process.pid, *node.program.workers()]
    return [sum(link not in to_hub for _, link in links_of(pid)) for pid in pids]


def sockets_to(port: int) -> set[str]:
    """Return what descriptors of TCP connections to a port of this machine are links to."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return {f"socket:[{row[9]}]" for row in rows if int(row[2].split(":")[1], 16) == port}


def most_grown(before: list[int], after: list[int]) -> int:
    """Return by how many descriptors that process has more which has grown most."""
    return max(b - a for a, b in zip(before, after, strict=True))


@dataclass(frozen=True)
class Counts:
    """What edge and agent have counted of their clients: how many, and bytes in each direction."""

    clients: float
    to_origins: float
    to_clients: float

    def __sub__(self, other: "Counts") -> "Counts":
        return Counts(
            self.clients - other.clients,
            self.to_origins - other.to_origins,
            self.to_clients - other.to_clients,
        )


async def count_all(stack: Stack) -> tuple[Counts, Counts]:
    """Return the counts of the edge, and of the agent."""
    (edge,), (agent,) = stack.edges, stack.agents
    carried = partial(agent.metric, "towonel_agent_bytes_total")
    return Counts(
        await edge.metric("towonel_edge_connections_served_total"),
        await edge.metric("towonel_edge_bytes_in_total"),
        await edge.metric("towonel_edge_bytes_out_total"),
    ), Counts(
        await agent.metric("towonel_agent_clients_total"),
        await carried(direction="edge_to_origin"),
        await carried(direction="origin_to_edge"),
    )


async def check_ends(stack: Stack, hostname: str, count: int) -> None:
    """Play so many scripts, and check what came of them, and that nothing is left."""
    hello = client_hello(hostname)
    async with playing(hello) as (origin, port):
        agent = await stack.start_agent(await stack.invite(hostname), service(hostname, port))
        await check_counts(stack, hello, origin, count // 8)
        await converse_all(stack.edge_port, hello, range(AT_ONCE))
        before = descriptors(stack)
        origin.seen.clear()
        seen = await converse_all(stack.edge_port, hello, range(count))
        await settle(stack, lambda: origin.active)
        lanes = await agent.metric("towonel_agent_lanes")
        # Lanes are kept for a minute.
        await until(lambda: most_grown(before, descriptors(stack)) <= lanes)

    assert set(seen) <= {"whole", "has reset", "was reset", "refused"}
    assert set(origin.seen) <= {*seen, "ConnectionResetError"}
    assert sum(seen.values()) == count


async def check_counts(stack: Stack, hello: bytes, origin: Origin, count: int) -> None:
    """Check that edge and agent count the same of connections that end in order.

    They are the agent's first: of earlier ones a worker might still have to report some.
    """
    numbers = [number for number in range(count) if "resets" not in Script.of(number).ending]
    before = await count_all(stack)
    await converse_all(stack.edge_port, hello, numbers)
    await settle(stack, lambda: origin.active)

    async def are_equal() -> bool:
        edge, agent = [now - then for now, then in zip(await count_all(stack), before, strict=True)]
        return edge == agent and edge.clients == len(numbers)

    await until(are_equal)


@pytest.mark.parametrize("count", [60, pytest.param(20_000, marks=MANY)])
async def test_connections_that_end_in_random_ways_lose_leak_and_mix_up_nothing(
    stack: Stack, hostname: str, count: int
) -> None:
    await check_ends(stack, hostname, count)


@pytest.mark.parametrize(
    ("workers", "count"),
    [(2, 60), *(pytest.param(workers, 20_000, marks=MANY) for workers in (1, 2, 4))],
)
async def test_so_do_those_of_several_workers(
    tmp_path: Path, hostname: str, workers: int, count: int
) -> None:
    several = {"TOWONEL_EDGE_LISTEN_WORKERS": str(workers)}
    async with running_stack("processes", tmp_path, **several) as stack:
        await check_ends(stack, hostname, count)
