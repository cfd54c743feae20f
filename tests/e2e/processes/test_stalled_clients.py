"""Many bulk clients that stall, relayed by workers of a user whose memory of pipes is limited.

The kernel lets a user that is not root have 64 MiB in pipes (`fs.pipe-user-pages-soft`), and a worker has
at most 32 of them: what finds none is copied.
"""

import asyncio
import contextlib
import fcntl
import os
import socket
from collections.abc import AsyncIterator, Generator
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio
from support.cgroups import MemoryGroup
from support.clients import Streams, client_hello
from support.descriptors import links_of
from support.full_pipes import without_pipes
from support.memory import GroupMeter, processes_of
from support.origins import CommandOrigin, Progress, command_origin, digest, expected_digest, send
from support.programs import own_processes
from support.stack import Stack, service, settle, until

from towonel.relay.pipes import MAX_PIPES, PIPE_BYTES

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can start workers of another user"),
]
USER = 50_000 + os.getpid() % 10_000  # whose share of pipes no other run of these tests has
MIB = 1024 * 1024
OTHERS_BYTES = 6 * MIB
HELD_BYTES = 4 * MIB  # of each client, at either side: less than is sent, and twice what was found
QUIET_S = 0.7
BUFFER_BYTES = 64 * 1024
HOSTNAME = "app.example.eu"
OF_USER = {  # a run before a release has all, and first those without pipes, as workers keep theirs
    has: pytest.mark.parametrize(
        "has_pipes",
        [
            pytest.param(each, marks=() if each is has else pytest.mark.soak)
            for each in (False, True)
        ],
        ids=["no pipes", "pipes"],
        indirect=True,
    )
    for has in (False, True)
}
CLIENTS = pytest.mark.parametrize(
    ("count", "size"), [(40, 6 * MIB), pytest.param(100, 16 * MIB, marks=pytest.mark.soak)]
)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def process_stack(
    tmp_path_factory: pytest.TempPathFactory, groups: dict[str, MemoryGroup]
) -> AsyncIterator[Stack]:
    """Hub, edge and agent, whose workers are the user's."""
    folder = tmp_path_factory.mktemp("s")
    async with own_processes(folder, worker_user=USER, groups=groups) as runner:
        made = Stack(runner, folder / "state", way="lanes")
        await made.start_hub()
        await made.start_edge()
        yield made


@pytest.fixture(scope="module")
def has_pipes(request: pytest.FixtureRequest) -> Generator[bool]:
    """Whether the user has pipes: at first others of it have taken all, and then they end."""
    with contextlib.nullcontext() if request.param else without_pipes(USER):
        yield request.param


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def origin(process_stack: Stack) -> AsyncIterator[CommandOrigin]:
    """An origin without TLS, which an agent serves."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        bound_buffers(sock)
        async with command_origin("home", None, sock=sock) as made:
            await process_stack.start_agent(
                await process_stack.invite(HOSTNAME), service(HOSTNAME, made.port)
            )
            yield made


def user_of(pid: int) -> int:
    (line,) = (
        line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if "Uid:" in line
    )
    return int(line.split()[1])


def count_pipes(pid: int) -> int:
    """Return how many pipes of a worker's own a process has, which are larger than those of others."""
    links = {link: path for path, link in links_of(pid)}
    return sum(
        size_of(path) == PIPE_BYTES for link, path in links.items() if link.startswith("pipe:")
    )


def size_of(pipe: Path) -> int:
    try:
        reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    except FileNotFoundError:  # it is closed meanwhile
        return 0
    try:
        return int(fcntl.fcntl(reader, fcntl.F_GETPIPE_SZ))
    finally:
        os.close(reader)


@dataclass(frozen=True)
class Workers:
    """Workers of a stack, how many pipes they may have, and what their programs hold."""

    stack: Stack
    has_pipes: bool
    meter: GroupMeter

    def check(self, stalled: int) -> None:
        """Assert that they are the user's, and that stalled clients hold pipes, if there are any.

        The control groups of edge and agent tell that nothing is held beyond the bound for each client.
        """
        assert max(self.meter.growth().values(), default=0) < stalled * HELD_BYTES
        pids = [pid for pid in processes_of(self.stack) if user_of(pid) == USER]
        assert len(pids) == 2, "the worker of the edge, and that of the agent"
        least = min(stalled // 2, MAX_PIPES) if self.has_pipes else 0
        most = MAX_PIPES if self.has_pipes else 0
        assert least <= max(map(count_pipes, pids)) <= most


@pytest.fixture
def workers(process_stack: Stack, origin: CommandOrigin, *, has_pipes: bool) -> Workers:
    assert origin.port, "its agent is measured"
    return Workers(process_stack, has_pipes, GroupMeter(process_stack))


def bound_buffers(sock: socket.socket) -> None:
    """Bound what the kernel holds for a test's own end, so that few bytes are enough to stall it."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER_BYTES)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER_BYTES)


@contextlib.asynccontextmanager
async def connect(stack: Stack, command: str, size: int) -> AsyncIterator[Streams]:
    """Connect a client that sends a ClientHello, and then bytes that are not TLS."""
    sock = socket.socket()
    bound_buffers(sock)
    sock.setblocking(False)
    await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", stack.edge_port))
    reader, writer = await asyncio.open_connection(sock=sock)
    try:
        writer.write(client_hello(HOSTNAME) + f"{command} {size}\n".encode())
        yield reader, writer
    finally:
        writer.transport.abort()


async def upload(client: Streams, size: int, sent: Progress | None = None) -> str:
    reader, writer = client
    await send(writer, size, sent)
    return (await reader.readline()).decode().strip()


@OF_USER[False]
@CLIENTS
async def test_clients_that_do_not_read_leave_others_alone_and_get_every_byte_later(
    process_stack: Stack, origin: CommandOrigin, workers: Workers, count: int, size: int
) -> None:
    async with contextlib.AsyncExitStack() as exits:
        origin.sent.count = 0
        stalled = [
            await exits.enter_async_context(connect(process_stack, "source", size))
            for _ in range(count)
        ]
        await origin.sent.stalled(QUIET_S)
        assert origin.active > MAX_PIPES, "not all that there is fits into buffers of the kernel"
        workers.check(count)
        await serve_others(process_stack)
        found = await asyncio.gather(*(digest(reader, size) for reader, _ in stalled))

    assert {*found} == {expected_digest(size)}
    await nothing_failed(process_stack, origin)


@OF_USER[True]
@CLIENTS
async def test_origins_that_do_not_read_leave_others_alone_and_get_every_byte_later(
    process_stack: Stack, origin: CommandOrigin, workers: Workers, count: int, size: int
) -> None:
    origin.wake.clear()
    async with contextlib.AsyncExitStack() as exits, asyncio.TaskGroup() as tasks:
        sent = Progress()
        stalled = [
            await exits.enter_async_context(connect(process_stack, "sleep", size))
            for _ in range(count)
        ]
        sending = [tasks.create_task(upload(each, size, sent)) for each in stalled]
        await until(lambda: origin.active == count)
        await sent.stalled(QUIET_S)
        workers.check(count)
        await serve_others(process_stack)
        origin.wake.set()
        found = [await each for each in sending]

    assert {*found} == {expected_digest(size)}
    await nothing_failed(process_stack, origin)


async def serve_others(stack: Stack) -> None:
    """Assert that a client gets and sends as many bytes, while others are stalled."""
    expected = expected_digest(OTHERS_BYTES)
    async with asyncio.timeout(20):
        async with connect(stack, "source", OTHERS_BYTES) as (reader, _):
            assert await digest(reader, OTHERS_BYTES) == expected
        async with connect(stack, "sink", OTHERS_BYTES) as client:
            assert await upload(client, OTHERS_BYTES) == expected


async def nothing_failed(stack: Stack, origin: CommandOrigin) -> None:
    await settle(stack, lambda: origin.active)
    assert await stack.agents[0].metric("towonel_agent_stream_errors_total") == 0
    (edge,) = stack.edges
    ended = "towonel_edge_connections_ended_total"
    assert await edge.metric(ended) == await edge.metric(ended, code="normal") > 0
