"""Every scenario gets a `stack`: in this process, and again as the programs people start."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from support.origins import Asked, Certificates, Nginx, asked, nginx
from support.programs import in_process, own_processes
from support.redis_server import running_redis
from support.stack import Stack

HOSTNAME = "app.example.eu"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Start what may take long first, so that the workers end together."""
    items.sort(key=lambda item: item.get_closest_marker("timeout") is None)


@pytest.fixture
def certificates(tmp_path: Path) -> Certificates:
    return Certificates(tmp_path)


@pytest.fixture(params=["in-process", pytest.param("processes", marks=pytest.mark.processes)])
async def stack(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Stack]:
    """A hub and its edge, ready, without Redis."""
    programs = in_process() if request.param == "in-process" else own_processes(tmp_path)
    async with programs as runner:
        yield await started(Stack(runner, tmp_path / "state"))


@pytest.fixture
async def processes(tmp_path: Path) -> AsyncIterator[Stack]:
    """The same, always as processes: for what only a process can suffer."""
    async with own_processes(tmp_path) as runner:
        yield await started(Stack(runner, tmp_path / "state"))


async def started(stack: Stack) -> Stack:
    await stack.start_hub()
    await stack.start_edge()
    return stack


@pytest.fixture
async def origin(certificates: Certificates) -> AsyncIterator[Asked]:
    async with asked("home", certificates.server(HOSTNAME, "*.example.eu")) as server:
        yield server


@pytest.fixture
async def web(tmp_path: Path, certificates: Certificates) -> AsyncIterator[Nginx]:
    async with nginx(tmp_path / "nginx", certificates, HOSTNAME) as server:
        yield server


@pytest.fixture
async def redis(tmp_path: Path) -> AsyncIterator[str]:
    """The URL of a Redis of the test's own."""
    async with running_redis(tmp_path) as url:
        yield url
