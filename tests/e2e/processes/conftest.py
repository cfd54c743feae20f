"""Fixtures of the end-to-end tests on this machine: stacks of hub, edge and agents.

`processes` are shared by the tests of a module, so each test has a hostname, a tenant and agents of its
own, which end with it. A test that ends or restarts the hub or an edge takes `fresh_processes`. What has to
work whichever way clients travel takes a `stack`.
"""

import contextlib
from collections.abc import AsyncIterator, Generator
from pathlib import Path

import pytest
import pytest_asyncio
from support.cgroups import MemoryGroup, NoGroupError, memory_groups
from support.stack import Stack, running_stack


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give what shares a stack to one worker, and what runs in processes its mark."""
    for item in items:
        names = getattr(item, "fixturenames", ())
        if {"process_stack", "fresh_processes"} & set(names):
            item.add_marker("processes")
        if "process_stack" in names:
            item.add_marker(pytest.mark.xdist_group(item.path.stem))


@pytest.fixture(scope="module")
def edge_environ() -> dict[str, str]:
    """Settings of the shared stack's edge; a module may have others."""
    return {}


@pytest.fixture(scope="module")
def groups() -> Generator[dict[str, MemoryGroup]]:
    """Control groups of the module's edges and agents; none where none can be made: see test_memory_groups."""
    with contextlib.ExitStack() as exits:
        made: dict[str, MemoryGroup] = {}
        with contextlib.suppress(NoGroupError):
            made = exits.enter_context(memory_groups("edge", "agent"))
        yield made


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def process_stack(
    tmp_path_factory: pytest.TempPathFactory, edge_environ: dict[str, str]
) -> AsyncIterator[Stack]:
    async with running_stack("processes", tmp_path_factory.mktemp("s"), **edge_environ) as stack:
        yield stack


@pytest_asyncio.fixture(loop_scope="module")
async def processes(process_stack: Stack) -> AsyncIterator[Stack]:
    """The hub and edge of the module, without Redis; agents that start here end with the test."""
    yield process_stack
    await process_stack.stop_agents()


@pytest_asyncio.fixture(loop_scope="module", params=["lanes", "streams"])
async def stack(processes: Stack, request: pytest.FixtureRequest) -> AsyncIterator[Stack]:
    """The same, for each way that clients travel between edge and agent."""
    processes.way = request.param
    yield processes
    processes.way = "any"


@pytest_asyncio.fixture(loop_scope="module")
async def fresh_processes(tmp_path: Path) -> AsyncIterator[Stack]:
    """A hub and its edge of the test's own, ready, without Redis."""
    async with running_stack("processes", tmp_path) as stack:
        yield stack
