"""A real Redis on a free port, which a test may kill."""

import asyncio
import contextlib
import shutil
from collections.abc import AsyncGenerator
from pathlib import Path

from e2e.ports import free_port


@contextlib.asynccontextmanager
async def running_redis(folder: Path, port: int | None = None) -> AsyncGenerator[str]:
    """Run a Redis while the context lasts; yields its URL."""
    program = shutil.which("redis-server")
    assert program, "redis-server is missing: run `make tools`"
    port = port or free_port()
    process = await asyncio.create_subprocess_exec(
        *(program, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder)),
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout
    while b"Ready to accept" not in (line := await process.stdout.readline()):
        assert line, "redis-server ended"
    try:
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        process.terminate()
        await process.communicate()
