"""Every test gets a hub on a database of its own."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from worlds.hub import World, opened

from towonel.hub.feed import Bell


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with opened(tmp_path / "hub.db", Bell()) as found:
        yield found
