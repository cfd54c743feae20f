"""Fixtures of the client's tests."""

from collections.abc import AsyncGenerator

import pytest
from support.scripted_server import Server, serving


@pytest.fixture
async def server() -> AsyncGenerator[Server]:
    found = Server()
    async with serving(found.serve) as found.port:
        yield found
