"""Processes that are killed while clients come: what arrives is right, only the whole has an end, nothing is left."""

import asyncio
import contextlib
import itertools
import os
import random
import signal
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from support.byte_streams import MIB, PIECE, piece
from support.clients import client_hello
from support.descriptors import links_of
from support.memory import processes_of
from support.programs import OwnProcess, Program
from support.scripted_server import serving
from support.stack import Node, Stack, running_stack, service, settle, until

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.processes]
CLIENTS, WITHIN_S = 24, 60
ALERT = bytes([21, 3, 3, 0, 2, 2, 80])
NUMBER_BYTES = 8
PARTS = ("edge worker", "agent worker", "agent", "edge")


@dataclass(frozen=True)
class Plan:
    """What a connection carries, by its number, and what the client takes of it before it resets."""

    up: int
    down: int
    taken: int

    @classmethod
    def of(cls, number: int) -> "Plan":
        rng = random.Random(number)
        if number % 200 == 150:
            return cls(0, 100 * MIB, rng.randrange(50 * MIB))
        up, down = (rng.randrange(rng.choice((2, 2_000, 200_000))) for _ in range(2))
        return cls(up, down, down + 1)


async def send(writer: asyncio.StreamWriter, stream: int, size: int) -> None:
    """Send a stream, and end it; who does not take it shows that to `take`."""
    with contextlib.suppress(OSError):
        for at in range(0, size, PIECE):
            writer.write(piece(stream, at, min(PIECE, size - at)))
            await writer.drain()
        writer.write_eof()


async def take(reader: asyncio.StreamReader, stream: int, size: int, most: int) -> str:
    """Compare what comes with a stream, and return how it ended."""
    at = 0
    try:
        while at < most and (data := await reader.read(PIECE)):
            if data == ALERT and not at:
                return "refused"
            if data != piece(stream, at, len(data)):
                return f"wrong bytes after {at}"
            at += len(data)
    except OSError:
        return "reset"
    if at >= most:
        return "cut"
    return "whole" if at == size else f"an end after {at} of {size} bytes"


async def talk(
    streams: tuple[asyncio.StreamReader, asyncio.StreamWriter],
    mine: tuple[int, int],
    other: tuple[int, int],
    most: int,
) -> str:
    """Send one stream, take another, and return how that ended."""
    reader, writer = streams
    sending = asyncio.create_task(send(writer, *mine))
    try:
        how = await take(reader, *other, most)
        if how == "whole":
            await sending
        return how
    finally:
        sending.cancel()
        writer.transport.abort() if how != "whole" else writer.close()


@dataclass
class Load:
    """Clients that come one after another, and their origin."""

    hello: bytes
    seen: Counter[str] = field(default_factory=Counter[str])
    at_origin: Counter[str] = field(default_factory=Counter[str])
    numbers: "itertools.count[int]" = field(default_factory=itertools.count)
    active: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Be the origin of one client."""
        self.active += 1
        try:
            head = await reader.readexactly(len(self.hello) + NUMBER_BYTES)
            number = int.from_bytes(head[len(self.hello) :])
            plan = Plan.of(number)
            mine, other = (2 * number, plan.down), (2 * number + 1, plan.up)
            self.at_origin[await talk((reader, writer), mine, other, plan.up + 1)] += 1
        except (OSError, asyncio.IncompleteReadError) as error:
            self.at_origin[type(error).__name__] += 1
        finally:
            writer.close()
            self.active -= 1

    async def come(self, port: int, done: asyncio.Event) -> None:
        """Be one client after another."""
        while not done.is_set():
            number = next(self.numbers)
            async with asyncio.timeout(WITHIN_S):
                how = await self._connect(port, number)
            self.seen[how] += 1
            if how not in {"whole", "cut"}:
                await asyncio.sleep(0.02)

    async def _connect(self, port: int, number: int) -> str:
        plan = Plan.of(number)
        try:
            streams = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            return "refused"
        streams[1].write(self.hello + number.to_bytes(NUMBER_BYTES))
        mine, other = (2 * number + 1, plan.up), (2 * number, plan.down)
        return await talk(streams, mine, other, plan.taken)


def workers_of(node: Node[Program]) -> list[int]:
    assert isinstance(node.program, OwnProcess)
    return node.program.workers()


async def kill(stack: Stack, part: str, rng: random.Random) -> None:
    """Kill a part, and start it again if nobody else does."""
    (edge,), (agent,) = stack.edges, stack.agents
    node = edge if part.startswith("edge") else agent
    if part.endswith("worker"):
        if workers := workers_of(node):
            os.kill(rng.choice(workers), signal.SIGKILL)
    else:
        orphans = workers_of(node)
        await node.program.kill()
        await stack.restart(node)
        await until(lambda: not any(map(is_alive, orphans)), WITHIN_S)


def is_alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def sockets(stack: Stack) -> int:
    """Return how many sockets the process of edge and agent has that has most."""
    found = map(links_of, processes_of(stack))
    return max(sum("socket:" in link for _, link in links) for links in found)


async def has_only_lanes_more(stack: Stack, before: int) -> bool:
    """Whether lanes, which are kept for a minute, are all that there is more than before."""
    return sockets(stack) - before <= await stack.agents[0].metric("towonel_agent_lanes")


async def trouble(stack: Stack, load: Load, parts: list[str], served: int) -> None:
    """Kill one part after another, each once so many more clients were served."""
    rng = random.Random(3)
    for part in parts:
        goal = load.seen["whole"] + served
        await until(lambda goal=goal: load.seen["whole"] >= goal, WITHIN_S)  # type: ignore[misc]
        await kill(stack, part, rng)
    goal = load.seen["whole"] + served
    await until(lambda: load.seen["whole"] >= goal, WITHIN_S)


@pytest.mark.parametrize(
    ("kills", "served"),
    [(PARTS[:2], 10), pytest.param(PARTS * 5, 150, marks=pytest.mark.soak)],
    ids=["workers", "all"],
)
async def test_what_is_killed_resets_its_clients_and_leaves_nothing(
    tmp_path: Path, hostname: str, kills: tuple[str, ...], served: int
) -> None:
    load, done = Load(client_hello(hostname)), asyncio.Event()
    environ = {"TOWONEL_EDGE_LISTEN_WORKERS": "2"}
    async with (
        serving(load.serve) as port,
        running_stack("processes", tmp_path, **environ) as stack,
    ):
        agent = await stack.start_agent(await stack.invite(hostname), service(hostname, port))
        await agent.reaches(2, "towonel_agent_lanes", state="idle")
        before = sockets(stack)
        async with asyncio.TaskGroup() as tasks:
            for _ in range(CLIENTS):
                tasks.create_task(load.come(stack.edge_port, done))
            await trouble(stack, load, list(kills), served)
            done.set()
        await settle(stack, lambda: load.active)
        await until(lambda: has_only_lanes_more(stack, before))

    assert set(load.seen) <= {"whole", "cut", "reset", "refused"}
    assert set(load.at_origin) <= {"whole", "reset", "ConnectionResetError"}
