"""Fixtures of the end-to-end tests: a hostname of the test's own, certificates and origins."""

from collections.abc import AsyncIterator
from itertools import count
from pathlib import Path

import pytest
import pytest_asyncio
from support.origins import Certificates, CommandOrigin, Nginx, command_origin, nginx

_numbers = count()


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave out tests that need a Docker engine or a cluster, unless they are asked for by their path."""
    name = collection_path.name
    if name not in {"chaos", "containers", "kube"} or any(
        f"e2e/{name}" in one for one in config.args
    ):
        return None
    return True


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
