"""The programs of a demo: each with a log in its folder, none left when it is over."""

import asyncio
import contextlib
import signal
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from towonel.cli.demo.plan import HOST
from towonel.cli.subprocesses import Program, start

READY_S = 30.0
POLL_S = 0.05
DRAIN_S = 5.0  # then a second signal
STOP_S = 15.0  # then SIGKILL, which `towonel serve` never needs: it ends its own by then
TAIL_LINES = 15
_TAIL_BYTES = 64 * 1024


class StepFailed(Exception):
    """A step of the demo did not work: why, and what the program concerned said last."""

    def __init__(self, reason: str, member: "Member | None" = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.program = member.name if member else None
        self.last_lines = member.last_lines() if member else []


@dataclass(frozen=True, slots=True)
class Member:
    """A running program and its log."""

    name: str
    process: asyncio.subprocess.Process
    log: Path

    @property
    def has_ended(self) -> bool:
        return self.process.returncode is not None

    def last_lines(self) -> list[str]:
        with self.log.open("rb") as file:
            file.seek(max(0, self.log.stat().st_size - _TAIL_BYTES))
            return file.read().decode(errors="replace").splitlines()[-TAIL_LINES:]

    def signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(number)

    async def stop(self) -> None:
        """End it and wait until it has: drain, then a second signal, then SIGKILL."""
        for number, patience_s in ((signal.SIGTERM, DRAIN_S), (signal.SIGTERM, STOP_S)):
            self.signal(number)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(patience_s):
                    await self.process.wait()
                    return
        self.signal(signal.SIGKILL)
        await self.process.wait()


@dataclass(slots=True)
class Household:
    """Starts programs, waits for them, and knows when one has ended."""

    folder: Path
    tasks: asyncio.TaskGroup
    members: list[Member] = field(default_factory=list[Member])
    _one_ended: asyncio.Event = field(default_factory=asyncio.Event)

    async def start(self, program: Program) -> Member:
        log = self.folder / f"{program.name}.log"
        with log.open("wb") as output:
            member = Member(program.name, await start(program, output), log)
        self.members.append(member)
        self.tasks.create_task(self._watch(member))
        return member

    async def ready(self, member: Member, url: str) -> None:
        """Wait until a program's `/readyz` answers 200.

        Raises:
            StepFailed: it ended, or did not get ready in time.
        """
        async with httpx.AsyncClient(trust_env=False, timeout=READY_S) as http:
            await self._until(member, lambda: _answers(http, url))

    async def listening(self, member: Member, port: int) -> None:
        """Wait until a program accepts connections on a port of loopback."""
        await self._until(member, lambda: _accepts(port))

    async def stay(self) -> None:
        """Wait until a program ends that should not.

        Raises:
            StepFailed: when one has.
        """
        await self._one_ended.wait()
        self._check_all_run()

    def _check_all_run(self) -> None:
        for member in self.members:
            if member.has_ended:
                raise StepFailed(_how_it_ended(member), member)

    async def _until(self, member: Member, condition: Callable[[], Awaitable[bool]]) -> None:
        try:
            async with asyncio.timeout(READY_S):
                while not await condition():
                    self._check_all_run()
                    await asyncio.sleep(POLL_S)
        except TimeoutError:
            raise StepFailed(f"{member.name} is not ready after {READY_S:.0f} s", member) from None

    async def _watch(self, member: Member) -> None:
        await member.process.wait()
        self._one_ended.set()


@contextlib.asynccontextmanager
async def household(folder: Path) -> AsyncGenerator[Household]:
    """Yield a household; at the end every program of it is stopped, the last started first."""
    async with asyncio.TaskGroup() as tasks:
        home = Household(folder, tasks)
        try:
            yield home
        finally:
            for member in reversed(home.members):
                await member.stop()


async def _answers(http: httpx.AsyncClient, url: str) -> bool:
    try:
        return (await http.get(url)).is_success
    except httpx.TransportError:
        return False


async def _accepts(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection(HOST, port)
    except OSError:
        return False
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    return True


def _how_it_ended(member: Member) -> str:
    """Say in words how a program ended that should have stayed."""
    code = member.process.returncode or 0
    if code < 0:
        return f"{member.name} was ended by {signal.Signals(-code).name}"
    return f"{member.name} ended with exit code {code}"
