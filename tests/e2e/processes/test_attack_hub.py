"""Attacks on a hub by strangers who speak HTTP themselves: what they cost it, and who is served meanwhile."""

import asyncio
import contextlib
import itertools
import re
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from support.attack import MEMORY_LIMIT, honest_callers, withstanding
from support.programs import own_processes
from support.stack import Stack

from towonel.hub.bounds import Bounds
from towonel.identity.keys import NodeKey
from towonel.identity.signatures import BODY_HASH_HEADER

pytestmark = [pytest.mark.attack, pytest.mark.processes]
MIB = 1024 * 1024
LARGEST = 8 * MIB
SENDERS = 8  # of each kind, each with its address
BUDGET = Bounds().body_bytes
PLACES = Bounds().awaited_bodies


@pytest.fixture
async def stack(tmp_path: Path) -> AsyncIterator[Stack]:
    """A hub in a process of its own."""
    async with own_processes(tmp_path) as runner:
        stack = Stack(runner, tmp_path)
        await stack.start_hub()
        yield stack


async def send(port: int, head: str, body: bytes, source: str) -> bytes:
    """Send a request from an address, all of it whatever comes back; returns the answer's first line.

    The hub answers and then resets what it does not want: what came before is read meanwhile.
    """
    local = (source, 0)
    reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=local)
    answer = asyncio.create_task(reader.readline())
    try:
        with contextlib.suppress(ConnectionError):
            writer.write(head.encode())
            for start in range(0, len(body), MIB):
                writer.write(body[start : start + MIB])
                await writer.drain()
        with contextlib.suppress(ConnectionError):
            return await answer
        return b""
    finally:
        writer.close()


def report_head(edge_id: bytes, *headers: str) -> str:
    signature = f"Signature {edge_id.hex()}.{time.time_ns() // 1_000_000}.{'A' * 86}"
    lines = [
        "POST /v1/edges/report HTTP/1.1",
        "host: hub",
        f"content-length: {LARGEST}",
        f"authorization: {signature}",
        *headers,
    ]
    return "\r\n".join(lines) + "\r\n\r\n"


def invented_reports(stack: Stack) -> list[str]:
    """Return heads in the name of an unknown edge, of a known one, and with a hash of no body."""
    own_edge = NodeKey.from_seed((stack.folder / "node.key").read_bytes()).public
    hashed = report_head(own_edge, f"{BODY_HASH_HEADER}: {'0' * 64}")
    return [report_head(bytes(32)), report_head(own_edge), hashed]


async def test_invented_reports_of_8_mib_take_neither_memory_nor_the_places_of_edges(
    stack: Stack,
) -> None:
    assert stack.hub is not None
    heads = invented_reports(stack)
    async with (
        honest_callers(stack) as serve,
        withstanding(stack.hub.program, serve),
        asyncio.TaskGroup() as tasks,
    ):
        sent = [
            tasks.create_task(send(stack.hub_port, head, bytes(LARGEST), f"127.0.1.{number}"))
            for head in heads
            for number in range(1, SENDERS + 1)  # else the limit of one address stops most
        ]

    answers = [task.result()[9:12] for task in sent]
    unknown, unproved, hashed = (
        set(part) for part in itertools.batched(answers, SENDERS, strict=True)
    )
    assert b"403" in unknown
    assert {b"400", b"429"} <= unproved
    assert b"400" in hashed
    assert {*answers} <= {b"400", b"403", b"429", b"503", b""}


async def test_bodies_that_stay_unfinished_leave_room_for_others(stack: Stack) -> None:
    """Forty clients begin the largest desired state there can be, and do not end it."""
    assert stack.hub is not None
    head = (
        f"PUT /v1/desired-state HTTP/1.1\r\nhost: hub\r\ncontent-length: {MIB}\r\n"
        f"authorization: Signature {'ab' * 32}.{time.time_ns() // 1_000_000}.AAAA\r\n\r\n"
    )
    async with (
        honest_callers(stack) as serve,
        withstanding(stack.hub.program, serve),
        asyncio.timeout(20),
        contextlib.AsyncExitStack() as connections,
    ):
        for _ in range(40):
            _, writer = await asyncio.open_connection("127.0.0.1", stack.hub_port)
            connections.callback(writer.close)
            writer.write(head.encode() + bytes(MIB - 1))
        while (held := await stack.hub.metric("towonel_hub_body_bytes")) < BUDGET - 2 * MIB:
            await asyncio.sleep(0.05)

    assert held <= BUDGET


async def test_requests_that_wait_for_their_body_leave_places_for_others(stack: Stack) -> None:
    """One address begins more bodies, with an invented key, than there are requests at once."""
    assert stack.hub is not None
    head = (
        "POST /v1/invites HTTP/1.1\r\nhost: hub\r\ncontent-type: application/json\r\n"
        "authorization: Bearer x\r\ncontent-length: 9\r\n\r\n{"
    )
    async with (
        honest_callers(stack) as serve,
        # Nearly as many connections as there may be are open, and 250 bodies are awaited: some 20 MiB,
        # and what allocator and interpreter add, which is not the same from one machine to the next.
        withstanding(stack.hub.program, serve, memory=MEMORY_LIMIT + 12 * MIB),
        asyncio.timeout(60),
        contextlib.AsyncExitStack() as connections,
    ):
        awaited = list[float]()
        for number in range(Bounds().requests):
            _, writer = await asyncio.open_connection("127.0.0.1", stack.hub_port)
            connections.callback(writer.close)
            writer.write(head.encode())
            if number % 200 == 0:  # the hub answers, so that it has read those before
                awaited.append(await stack.hub.metric("towonel_hub_awaited_bodies"))
        await stack.invite("a.eu")

    assert max(awaited) == PLACES


async def test_paths_of_15_kb_fill_no_log(stack: Stack) -> None:
    assert stack.hub is not None
    ending, answered = asyncio.Event(), list[bytes]()
    size_before = len(stack.hub.program.log())
    async with (
        honest_callers(stack) as serve,
        withstanding(stack.hub.program, serve),
        asyncio.TaskGroup() as tasks,
    ):
        for _ in range(4):
            tasks.create_task(ask_for_long_paths(stack.hub_port, answered, ending))
        while len(answered) < 400:
            await asyncio.sleep(0.05)
        ending.set()

    assert {b"404", b"429"} == set(answered)
    assert len(stack.hub.program.log()) - size_before < 50_000


async def ask_for_long_paths(port: int, answered: list[bytes], ending: asyncio.Event) -> None:
    """Ask on one connection, and note the status of each answer, until `ending`."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    with contextlib.closing(writer):
        while not ending.is_set():
            writer.write(b"GET /" + b"a" * 15_000 + b" HTTP/1.1\r\nhost: hub\r\n\r\n")
            head = await reader.readuntil(b"\r\n\r\n")
            length = re.search(rb"content-length: (\d+)", head)
            assert length
            await reader.readexactly(int(length[1]))
            answered.append(head[9:12])


async def test_more_silent_connections_than_descriptors_keep_nobody_out(tmp_path: Path) -> None:
    async with own_processes(tmp_path, descriptors=200) as runner:
        stack = Stack(runner, tmp_path)
        hub = await stack.start_hub()
        async with (
            honest_callers(stack) as serve,
            withstanding(hub.program, serve),
            asyncio.timeout(20),
            contextlib.AsyncExitStack() as silent,
        ):
            for _ in range(260):
                _, writer = await asyncio.open_connection("127.0.0.1", stack.hub_port)
                silent.callback(writer.close)
