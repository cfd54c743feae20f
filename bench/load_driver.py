"""Load driver of the benchmark: builds the C program where it is needed, and runs it."""

import asyncio
import contextlib
import hashlib
import json
import os
import shlex
import subprocess
import tempfile
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

SOURCE = Path(__file__).parent / "driver" / "driver.c"
HOSTNAME = "app.bench.example.eu"
OPEN_S, END_S = 30.0, 15.0  # above the limits of the driver itself
OPENED_PER_S = 100.0  # as in the driver: so slow a subject still gets its connections open


class BenchError(Exception):
    """Error that ends the benchmark, with what to do about it."""


@dataclass(frozen=True)
class Outcome:
    """Counts and latencies of one load."""

    operations: int
    bytes: int
    failed: int
    failure: str
    seconds: float
    p50_us: float
    p99_us: float


def cache_folder() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "towonel"


def build_driver(folder: Path, source: Path = SOURCE) -> Path:
    """Return the driver of a source, compiled where the folder has none of it.

    Raises:
        BenchError: where there is no compiler, or it refuses.
    """
    compiler = os.environ.get("CC") or "cc"
    digest = hashlib.sha256(compiler.encode() + source.read_bytes()).hexdigest()[:16]
    program = folder / f"bench-{source.stem}-{digest}"
    if not program.exists():
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as part:
            made = Path(part) / "driver"
            _compile([*shlex.split(compiler), "-O2", "-o", str(made), str(source)])
            made.replace(program)  # two benchmarks may build it at once
    return program


def _compile(command: list[str]) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        raise BenchError(
            f"the load driver is written in C, and `{command[0]}` cannot be run ({error.strerror}): "
            "install a C compiler (Debian: apt-get install gcc libc6-dev), or name yours in CC"
        ) from None
    if done.returncode:
        first = next((line for line in done.stderr.splitlines() if "error" in line), "no message")
        raise BenchError(
            f"`{command[0]}` cannot compile the load driver: {first}; it needs the headers of Linux's C "
            "library (Debian: apt-get install libc6-dev)"
        )


@dataclass(frozen=True)
class Driver:
    """The program, and its origin, which every tunnel leads to."""

    program: Path
    origin_pid: int
    origin_port: int

    @contextlib.asynccontextmanager
    async def load(
        self, mode: str, port: int, connections: int, seconds: float, hostname: str = HOSTNAME
    ) -> AsyncIterator["Load"]:
        """All connections of a load open, until the context ends."""
        arguments = (mode, port, self.origin_port, hostname, connections, seconds)
        process = await asyncio.create_subprocess_exec(
            *(str(self.program), "load", *map(str, arguments)), stdin=PIPE, stdout=PIPE
        )
        try:
            load = Load(process, seconds)
            await load.expect(b"open", OPEN_S + connections / OPENED_PER_S)
            yield load
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()


@dataclass(frozen=True)
class Load:
    """A driver whose connections are open."""

    process: Process
    seconds: float

    async def run(self) -> None:
        """Let it work for its time."""
        assert self.process.stdin
        self.process.stdin.write(b"\n")
        await self.expect(b"end", self.seconds + END_S)

    async def outcome(self) -> Outcome:
        """Let it close its connections, and return what it counted."""
        return Outcome(**json.loads(await self._line(END_S)))

    async def expect(self, word: bytes, within_s: float) -> None:
        line = await self._line(within_s)
        if line != word:
            raise BenchError(f"the load driver wrote {line!r} where {word!r} belongs")

    async def _line(self, within_s: float) -> bytes:
        assert self.process.stdout
        try:
            async with asyncio.timeout(within_s):
                line = await self.process.stdout.readline()
        except TimeoutError:
            raise BenchError(f"the load driver writes nothing for {within_s:.0f} s") from None
        if not line:
            raise BenchError(f"the load driver ended with status {await self.process.wait()}")
        return line.strip()


@contextlib.asynccontextmanager
async def run_driver(program: Path) -> AsyncIterator[Driver]:
    """Run the origin until the context ends."""
    origin = await asyncio.create_subprocess_exec(program, "origin", stdout=PIPE)
    try:
        assert origin.stdout
        async with asyncio.timeout(OPEN_S):
            line = await origin.stdout.readline()
        if not line:
            raise BenchError("the origin of the load driver did not start")
        yield Driver(program, origin.pid, int(line))
    finally:
        with contextlib.suppress(ProcessLookupError):
            origin.kill()
        await origin.wait()
