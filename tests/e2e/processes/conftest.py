"""Fixtures of the end-to-end tests: stacks of hub, edge and agents, origins, and names.

`stack` is shared by the tests of a module, so each test has a hostname, a tenant and agents of its own,
which end with it. A test that ends or restarts the hub or an edge takes a `fresh_stack`.
"""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from itertools import count
from pathlib import Path

import pytest
import pytest_asyncio
from support.origins import Certificates, CommandOrigin, Nginx, command_origin, nginx
from support.programs import Runner, in_process, own_processes
from support.redis_server import running_redis
from support.stack import Stack

_numbers = count()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give what shares a stack to one worker, and what runs in processes its mark."""
    for item in items:
        names = getattr(item, "fixturenames", ())
        if {"process_stack", "fresh_processes"} & set(names):
            item.add_marker("processes")
        if "stack" in names or "process_stack" in names:
            kind = "in-process" if "in-process" in item.nodeid else "processes"
            item.add_marker(pytest.mark.xdist_group(f"{item.path.stem} {kind}"))


@pytest.fixture
def hostname() -> str:
    """A name that no other test of this process has."""
    return f"app.t{next(_numbers)}.example.eu"


@pytest.fixture
def domain(hostname: str) -> str:
    """The domain of the hostname."""
    return hostname.partition(".")[2]


@pytest.fixture
def certificates(tmp_path: Path) -> Certificates:
    return Certificates(tmp_path)


@pytest.fixture(scope="module")
def edge_environ() -> dict[str, str]:
    """Settings of the shared stack's edge; a module may have others."""
    return {}


def runner_of(kind: str, folder: Path) -> AbstractAsyncContextManager[Runner]:
    return in_process() if kind == "in-process" else own_processes(folder)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def in_process_stack(
    tmp_path_factory: pytest.TempPathFactory, edge_environ: dict[str, str]
) -> AsyncIterator[Stack]:
    folder = tmp_path_factory.mktemp("stack")
    async with in_process() as runner:
        yield await started(Stack(runner, folder / "state"), **edge_environ)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def process_stack(
    tmp_path_factory: pytest.TempPathFactory, edge_environ: dict[str, str]
) -> AsyncIterator[Stack]:
    folder = tmp_path_factory.mktemp("stack")
    async with own_processes(folder) as runner:
        yield await started(Stack(runner, folder / "state"), **edge_environ)


@pytest.fixture(params=["in-process", pytest.param("processes", marks=pytest.mark.processes)])
def kind(request: pytest.FixtureRequest) -> str:
    """How the programs run: as tasks of this process, or in processes of their own."""
    return str(request.param)


@pytest.fixture
def module_stack(request: pytest.FixtureRequest, kind: str) -> Stack:
    name = "in_process_stack" if kind == "in-process" else "process_stack"
    stack: Stack = request.getfixturevalue(name)
    return stack


@pytest_asyncio.fixture(loop_scope="module")
async def stack(module_stack: Stack) -> AsyncIterator[Stack]:
    """The hub and edge of the module, without Redis; agents that start here end with the test."""
    yield module_stack
    await without_agents(module_stack)


@pytest_asyncio.fixture(loop_scope="module")
async def processes(process_stack: Stack) -> AsyncIterator[Stack]:
    """The same, always as processes: for what only a process can suffer."""
    yield process_stack
    await without_agents(process_stack)


async def without_agents(stack: Stack) -> None:
    for agent in stack.agents:
        await agent.program.stop()
    stack.agents.clear()


@pytest_asyncio.fixture(loop_scope="module")
async def fresh_stack(kind: str, tmp_path: Path) -> AsyncIterator[Stack]:
    """A hub and its edge of the test's own, ready, without Redis."""
    async with runner_of(kind, tmp_path) as runner:
        yield await started(Stack(runner, tmp_path / "state"))


@pytest_asyncio.fixture(loop_scope="module")
async def fresh_processes(tmp_path: Path) -> AsyncIterator[Stack]:
    """The same, always as processes."""
    async with own_processes(tmp_path) as runner:
        yield await started(Stack(runner, tmp_path / "state"))


async def started(stack: Stack, **edge_environ: str) -> Stack:
    await stack.start_hub()
    await stack.start_edge(**edge_environ)
    return stack


@pytest_asyncio.fixture(loop_scope="module")
async def origin(
    certificates: Certificates, hostname: str, domain: str
) -> AsyncIterator[CommandOrigin]:
    async with command_origin("home", certificates.server(hostname, f"*.{domain}")) as server:
        yield server


@pytest_asyncio.fixture(loop_scope="module")
async def web(tmp_path: Path, certificates: Certificates, hostname: str) -> AsyncIterator[Nginx]:
    async with nginx(tmp_path / "nginx", certificates, hostname) as server:
        yield server


@pytest_asyncio.fixture(loop_scope="module")
async def redis(tmp_path: Path) -> AsyncIterator[str]:
    """The URL of a Redis of the test's own."""
    async with running_redis(tmp_path) as url:
        yield url
