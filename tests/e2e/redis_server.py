"""A real Redis on a free port, which a test may kill."""

import asyncio
import contextlib
import shutil
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from pathlib import Path

from e2e.ports import free_port


@dataclass(frozen=True)
class RedisServer:
    """A running Redis, and its process: to be killed, or stopped with SIGSTOP."""

    url: str
    process: asyncio.subprocess.Process


@contextlib.asynccontextmanager
async def redis_server(folder: Path, port: int | None = None) -> AsyncGenerator[RedisServer]:
    """Run a Redis while the context lasts, whatever becomes of it meanwhile."""
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
        yield RedisServer(f"redis://127.0.0.1:{port}/0", process)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()  # nothing is saved, and one that is stopped hears nothing else
        await process.communicate()


@contextlib.asynccontextmanager
async def running_redis(folder: Path, port: int | None = None) -> AsyncGenerator[str]:
    """Run a Redis while the context lasts; yields its URL."""
    async with redis_server(folder, port) as server:
        yield server.url
