"""Readers that sleep while much comes for them: no process grows, buffers of the kernel included."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from support.clients import Client
from support.memory import in_kernel, processes_of, resident
from support.origins import (
    CHUNK,
    Certificates,
    CommandOrigin,
    Progress,
    digest,
    expected_digest,
    send,
)
from support.stack import Stack, service

pytestmark = pytest.mark.asyncio(loop_scope="module")
MIB = 1024 * 1024
GROWTH = 8 * MIB
SIZES = pytest.mark.parametrize("size", [20 * MIB, pytest.param(64 * MIB, marks=pytest.mark.soak)])


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
    """A client of a service, after every part has reached its working size."""
    await stack.start_agent(await stack.invite(hostname), service(hostname, origin.port))
    made = Client(stack.edge_port, certificates.client(), hostname)
    await made.ask(f"source {4 * MIB}")
    await made.ask(f"sink {4 * MIB}", CHUNK * (4 * MIB // len(CHUNK)))
    return made


class Meter:
    """Meter of what sleeping readers cost the processes of a stack."""

    def __init__(self, stack: Stack) -> None:
        self._pids = processes_of(stack)
        self._before = resident(self._pids)

    async def check(self) -> None:
        """Assert that no process has grown, with what the kernel holds for its connections."""
        held = await in_kernel(self._pids)
        now = resident(self._pids)
        assert max(now[pid] - self._before[pid] + held[pid] for pid in self._pids) < GROWTH


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
