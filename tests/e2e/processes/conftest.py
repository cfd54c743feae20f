"""Fixtures of the end-to-end tests on this machine: stacks of hub, edge and agents.

`stack` is shared by the tests of a module, so each test has a hostname, a tenant and agents of its own,
which end with it. A test that ends or restarts the hub or an edge takes a `fresh_stack`.
"""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from support.stack import Stack, running_stack


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give what shares a stack to one worker, and what runs in processes its mark."""
    for item in items:
        names = getattr(item, "fixturenames", ())
        if {"process_stack", "fresh_processes"} & set(names):
            item.add_marker("processes")
        if "stack" in names or "process_stack" in names:
            kind = "in-process" if "in-process" in item.nodeid else "processes"
            item.add_marker(pytest.mark.xdist_group(f"{item.path.stem} {kind}"))


@pytest.fixture(scope="module")
def edge_environ() -> dict[str, str]:
    """Settings of the shared stack's edge; a module may have others."""
    return {}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def in_process_stack(
    tmp_path_factory: pytest.TempPathFactory, edge_environ: dict[str, str]
) -> AsyncIterator[Stack]:
    async with running_stack("in-process", tmp_path_factory.mktemp("s"), **edge_environ) as stack:
        yield stack


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def process_stack(
    tmp_path_factory: pytest.TempPathFactory, edge_environ: dict[str, str]
) -> AsyncIterator[Stack]:
    async with running_stack("processes", tmp_path_factory.mktemp("s"), **edge_environ) as stack:
        yield stack


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
    await module_stack.stop_agents()


@pytest_asyncio.fixture(loop_scope="module")
async def processes(process_stack: Stack) -> AsyncIterator[Stack]:
    """The same, always as processes: for what only a process can suffer."""
    yield process_stack
    await process_stack.stop_agents()


@pytest_asyncio.fixture(loop_scope="module")
async def fresh_stack(kind: str, tmp_path: Path) -> AsyncIterator[Stack]:
    """A hub and its edge of the test's own, ready, without Redis."""
    async with running_stack(kind, tmp_path) as stack:
        yield stack


@pytest_asyncio.fixture(loop_scope="module")
async def fresh_processes(tmp_path: Path) -> AsyncIterator[Stack]:
    """The same, always as processes."""
    async with running_stack("processes", tmp_path) as stack:
        yield stack
