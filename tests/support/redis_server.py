"""Redis server of the tests on a free port, which a test may kill."""

import asyncio
import contextlib
import shutil
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from pathlib import Path

from support.ports import free_port


@dataclass
class RedisServer:
    """A running Redis, and its process: to be killed, or stopped with SIGSTOP."""

    folder: Path
    port: int
    process: asyncio.subprocess.Process

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    async def restart(self) -> None:
        """Run another one in the place of one that was killed."""
        await self.process.communicate()
        self.process = await started(self.folder, self.port)


async def started(folder: Path, port: int, *options: str) -> asyncio.subprocess.Process:
    program = shutil.which("redis-server")
    assert program, "redis-server is missing: run `make tools`"
    process = await asyncio.create_subprocess_exec(
        *(program, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder)),
        *options,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout
    while b"Ready to accept" not in (line := await process.stdout.readline()):
        assert line, "redis-server ended"
    return process


@contextlib.asynccontextmanager
async def redis_server(
    folder: Path, port: int | None = None, *options: str
) -> AsyncGenerator[RedisServer]:
    """Run a Redis while the context lasts; a test may kill it."""
    port = port or free_port()
    server = RedisServer(folder, port, await started(folder, port, *options))
    try:
        yield server
    finally:
        with contextlib.suppress(ProcessLookupError):
            server.process.kill()  # nothing is saved, and one that is stopped hears nothing else
        await server.process.communicate()


@contextlib.asynccontextmanager
async def running_redis(folder: Path, port: int | None = None) -> AsyncGenerator[str]:
    """Run a Redis while the context lasts; yields its URL."""
    async with redis_server(folder, port) as server:
        yield server.url


@contextlib.asynccontextmanager
async def flood(port: int, channel: str) -> AsyncGenerator[None]:
    """Publish as fast as Redis can while the context lasts."""
    program = shutil.which("redis-benchmark")
    assert program, "redis-benchmark is missing: run `make tools`"
    process = await asyncio.create_subprocess_exec(
        *(program, "-p", str(port), "-c", "1", "-P", "100", "-n", "100000000", "-q"),
        *("publish", channel, "x" * 32),
        stdout=asyncio.subprocess.DEVNULL,
    )
    try:
        yield
    finally:
        process.kill()
        await process.wait()
