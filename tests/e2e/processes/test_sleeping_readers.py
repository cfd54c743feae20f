"""Readers that sleep while much comes for them: no process grows, buffers of the kernel included."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from support.cgroups import MemoryGroup
from support.clients import Client
from support.memory import GroupMeter, in_kernel, processes_of, resident
from support.origins import (
    CHUNK,
    Certificates,
    CommandOrigin,
    Progress,
    digest,
    expected_digest,
    send,
)
from support.programs import own_processes
from support.stack import Stack, Way, service

pytestmark = pytest.mark.asyncio(loop_scope="module")
MIB = 1024 * 1024
GROWTH = 8 * MIB
CALM_GROWTH = 2 * MIB  # while nothing moves
PAUSE_S, WATCH_S = 300, 5
WAYS: tuple[Way, ...] = ("lanes", "TLS lanes", "streams")
SIZES = pytest.mark.parametrize("size", [20 * MIB, pytest.param(64 * MIB, marks=pytest.mark.soak)])


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def process_stack(
    tmp_path_factory: pytest.TempPathFactory, groups: dict[str, MemoryGroup]
) -> AsyncIterator[Stack]:
    folder = tmp_path_factory.mktemp("s")
    async with own_processes(folder, groups=groups) as runner:
        made = Stack(runner, folder / "state")
        await made.start_hub()
        await made.start_edge()
        yield made


@pytest_asyncio.fixture(
    loop_scope="module",
    params=[
        "lanes",
        pytest.param("TLS lanes", marks=pytest.mark.soak),
        pytest.param("streams", marks=pytest.mark.soak),
    ],
)
async def stack(processes: Stack, request: pytest.FixtureRequest) -> AsyncIterator[Stack]:
    """A stack for each way that clients travel between edge and agent."""
    processes.way = request.param
    yield processes
    processes.way = "any"


@pytest_asyncio.fixture(loop_scope="module")
async def client(
    stack: Stack, origin: CommandOrigin, certificates: Certificates, hostname: str
) -> Client:
    return await warm_up(stack, origin, certificates, hostname)


async def warm_up(
    stack: Stack, origin: CommandOrigin, certificates: Certificates, hostname: str
) -> Client:
    """Return a client of a service of a new agent, after every part has reached its working size."""
    await stack.start_agent(await stack.invite(hostname), service(hostname, origin.port))
    made = Client(stack.edge_port, certificates.client(), hostname)
    await made.ask(f"source {4 * MIB}")
    await made.ask(f"sink {4 * MIB}", CHUNK * (4 * MIB // len(CHUNK)))
    return made


class Meter:
    """Meter of what sleeping readers cost the processes of a stack, and their groups."""

    def __init__(self, stack: Stack) -> None:
        self._pids = processes_of(stack)
        self._before = resident(self._pids)
        self._groups = GroupMeter(stack)

    async def check(self, most: int = GROWTH) -> None:
        """Assert that no process has grown, with what the kernel holds for its connections, and no group."""
        assert max((await self.measure()).values()) < most
        assert max(self._groups.growth().values(), default=0) < most

    async def measure(self) -> dict[int, int]:
        """Return by how much each process has grown, with what the kernel holds for its connections."""
        held = await in_kernel(self._pids)
        now = resident(self._pids)
        return {pid: now[pid] - self._before[pid] + held[pid] for pid in self._pids}

    async def watch(self, for_s: float) -> None:
        """Assert for so long that no process grows any more."""
        began, clock = await self.measure(), asyncio.get_running_loop().time
        until_s = clock() + for_s
        while clock() < until_s:
            await asyncio.sleep(WATCH_S)
            now = await self.measure()
            assert max(now[pid] - began[pid] for pid in began) < CALM_GROWTH


@SIZES
async def test_a_client_that_sleeps_costs_no_memory_and_loses_no_byte(
    stack: Stack, origin: CommandOrigin, client: Client, size: int
) -> None:
    meter = Meter(stack)

    async with client.connect() as (reader, writer):
        origin.sent.count = 0
        writer.write(f"source {size}\n".encode())
        await origin.sent.stalled()
        await meter.check()
        received = await digest(reader, size)

    assert received == expected_digest(size)
    await meter.check()


@SIZES
async def test_an_origin_that_sleeps_costs_no_memory_and_loses_no_byte(
    stack: Stack, origin: CommandOrigin, client: Client, size: int
) -> None:
    meter = Meter(stack)

    async with client.connect() as (reader, writer), asyncio.TaskGroup() as tasks:
        sent = Progress()
        writer.write(f"sleep {size}\n".encode())
        tasks.create_task(send(writer, size, sent))
        await sent.stalled()
        await meter.check()
        origin.wake.set()
        answer = (await reader.readline()).decode().strip()

    assert answer == expected_digest(size)
    await meter.check()


@pytest.mark.soak
@pytest.mark.timeout(900)
async def test_readers_that_pause_for_minutes_cost_no_memory_and_lose_no_byte(
    processes: Stack, origin: CommandOrigin, certificates: Certificates, domain: str
) -> None:
    size, clients, sent = 64 * MIB, list[Client](), Progress()
    for number, processes.way in enumerate(WAYS):
        clients.append(await warm_up(processes, origin, certificates, f"{number}.{domain}"))
    origin.sent.count = 0
    meter = Meter(processes)

    async with contextlib.AsyncExitStack() as exits, asyncio.TaskGroup() as tasks:
        commands = [f"{word} {size}\n".encode() for word in ("source", "sleep") for _ in WAYS]
        streams = [await exits.enter_async_context(each.connect()) for each in (*clients, *clients)]
        for (_, writer), command in zip(streams, commands, strict=True):
            writer.write(command)
        for _, writer in streams[len(WAYS) :]:
            tasks.create_task(send(writer, size, sent))
        await asyncio.gather(origin.sent.stalled(), sent.stalled())
        await meter.check(len(streams) * GROWTH)
        await meter.watch(PAUSE_S)
        origin.wake.set()
        got = [tasks.create_task(digest(reader, size)) for reader, _ in streams[: len(WAYS)]]
        answers = [(await reader.readline()).decode().strip() for reader, _ in streams[len(WAYS) :]]

    assert {*(each.result() for each in got), *answers} == {expected_digest(size)}
