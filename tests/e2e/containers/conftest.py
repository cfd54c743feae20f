"""Fixtures of the tests of our images: a Docker engine, and one deployment for all tests of a module.

They run with `make e2e-containers`, which builds the images, and so in `make e2e` and `.ci/run`; nothing else collects
them.
"""

from collections.abc import AsyncIterator, Callable, Generator

import pytest
import pytest_asyncio
from support.container_stack import Deployment
from support.containers import Engine, running_engine, translation
from support.origins import Certificates


@pytest.fixture
def engine() -> Generator[Engine]:
    """An engine whose containers end with the test."""
    with running_engine() as running:
        yield running


@pytest.fixture(scope="module")
def own_engine() -> Generator[Engine]:
    """An engine whose containers end with the module."""
    with running_engine() as running:
        yield running


@pytest.fixture(scope="module")
def make_deployment(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Deployment]:
    """Make networks and an authority, of a class, and nothing that runs yet."""

    def make(cls: type[Deployment], engine: Engine) -> Deployment:
        folder = tmp_path_factory.mktemp("certificates")
        for each in (folder, folder.parent):
            each.chmod(0o755)  # guests are not root
        return cls(engine, Certificates(folder), folder)

    return make


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def deployment(
    own_engine: Engine, make_deployment: Callable[..., Deployment]
) -> AsyncIterator[Deployment]:
    """A hub with an edge."""
    with translation():
        stack = make_deployment(Deployment, own_engine)
        await stack.start_hub()
        await stack.start_edge()
        yield stack
