"""Fixtures of the command line's tests."""

from collections.abc import AsyncGenerator, Iterator

import pytest
from support.commands import CommandedHub, commanded_hub
from support.scripted_server import Server, serving


@pytest.fixture
async def server() -> AsyncGenerator[Server]:
    found = Server()
    async with serving(found.serve) as found.port:
        yield found


@pytest.fixture(scope="session")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CommandedHub]:
    """A hub that all commands of this run talk to: each test makes what it asks for."""
    with commanded_hub(tmp_path_factory.mktemp("hub")) as found:
        yield found
