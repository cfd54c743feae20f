"""Real processes and real signals: a supervisor of its own, with two puppets under it."""

import asyncio
import contextlib
import os
import re
import signal
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from pathlib import Path

import pytest
from support import fork_server
from support.fork_server import ForkedProcess

# Signals are waited for and lines are written whole: neither can fall between two steps of it.
PUPPET = """
import pathlib, signal, sys
name, on_signal, *plan = sys.argv[1:]
heard = set() if "deaf" in plan else {signal.SIGTERM, signal.SIGINT}
signal.pthread_sigmask(signal.SIG_BLOCK, heard)
print(f"{name} up\\n", end="", flush=True)
before = pathlib.Path(f"{name}.started")
was_started = before.exists()
before.touch()
for step in plan:
    if step.startswith("first") and not was_started:
        sys.exit(int(step[5:]))
    if step == "once" and was_started:
        break
    if step.startswith("exit"):
        sys.exit(int(step[4:]))
seen = 0
while True:
    print(f"{name} got {signal.Signals(signal.sigwait(heard)).name}\\n", end="", flush=True)
    seen += 1
    if on_signal != "never" and seen >= int(on_signal.partition(":")[0]):
        sys.exit(int(on_signal.partition(":")[2]))
"""
DRIVER = """
import asyncio, os, sys
from towonel.cli import supervisor
from towonel.cli.subprocesses import Program
from towonel.runtime import logs
logs.configure("info", "json", "serve")
limit_s = 0.2 if any("never" in text for text in sys.argv) else 15.0
pause_s = 30.0 if any("patient" in text for text in sys.argv) else 0.01
timing = supervisor.Timing(
    0.2,
    overtime_s=limit_s,
    kill_after_s=limit_s,
    first_pause_s=pause_s,
    max_pause_s=pause_s,
    settings_tries=3,
)
programs = [Program(text.split()[0], "puppet", os.environ, tuple(text.split())) for text in sys.argv[1:]]
sys.exit(asyncio.run(supervisor.supervise(programs, timing)))
"""


@dataclass
class Supervisor:
    process: ForkedProcess
    log: Path

    async def says(self, text: str) -> str:
        async with asyncio.timeout(20):
            while not (found := re.search(text, self.log.read_text())):
                await asyncio.sleep(0.01)
        return found[found.lastindex or 0]

    async def ends(self) -> int:
        async with asyncio.timeout(20):
            return await self.process.wait()


@contextlib.asynccontextmanager
async def supervising(folder: Path, *puppets: str) -> AsyncGenerator[Supervisor]:
    """A puppet is `NAME N:CODE [PLAN]`: it ends with CODE at the Nth signal."""
    (folder / "puppet.py").write_text(PUPPET)
    (folder / "driver.py").write_text(DRIVER)
    log, environ = folder / "log", os.environ | {"PYTHONPATH": str(folder)}
    log.touch()
    process = await fork_server.start(str(folder / "driver.py"), environ, log, puppets)
    try:
        yield Supervisor(process, log)
    finally:
        process.kill()
        await process.wait()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_is_passed_on_and_a_drain_of_all_is_a_success(
    tmp_path: Path, number: signal.Signals
) -> None:
    async with supervising(tmp_path, "hub 1:0", "edge 1:0") as supervisor:
        await supervisor.says("hub up")
        await supervisor.says("edge up")
        supervisor.process.send_signal(number)

        assert await supervisor.ends() == 0
        assert await supervisor.says(f"hub got {number.name}")
        assert await supervisor.says(f"edge got {number.name}")


async def test_a_hangup_drains_as_sigterm_does(tmp_path: Path) -> None:
    async with supervising(tmp_path, "hub 1:0") as supervisor:
        await supervisor.says("hub up")
        supervisor.process.send_signal(signal.SIGHUP)

        assert await supervisor.ends() == 0
        assert await supervisor.says("hub got SIGTERM")


async def test_a_second_signal_is_passed_on_too(tmp_path: Path) -> None:
    async with supervising(tmp_path, "hub 2:1", "edge 2:1") as supervisor:
        await supervisor.says("hub up")
        await supervisor.says("edge up")
        supervisor.process.send_signal(signal.SIGTERM)
        await supervisor.says("hub got SIGTERM")
        await supervisor.says("edge got SIGTERM")
        supervisor.process.send_signal(signal.SIGINT)

        assert await supervisor.ends() == 1
        assert await supervisor.says("hub got SIGINT")


async def test_the_same_signal_twice_at_once_is_one_signal(tmp_path: Path) -> None:
    async with supervising(tmp_path, "hub 2:1 deaf") as supervisor:
        await supervisor.says("hub up")
        supervisor.process.send_signal(signal.SIGTERM)
        supervisor.process.send_signal(signal.SIGTERM)

        assert await supervisor.ends() == 0
        assert supervisor.log.read_text().count("signal.forwarded") == 1


@pytest.mark.parametrize("code", [0, 3, 75])
async def test_one_that_ends_unasked_is_started_again_and_the_other_goes_on(
    tmp_path: Path, code: int
) -> None:
    async with supervising(tmp_path, "hub 1:0", f"edge 1:0 once exit{code}") as supervisor:
        await supervisor.says("hub up")
        await supervisor.says(r"(?s)edge up.*edge up")
        supervisor.process.send_signal(signal.SIGTERM)

        assert await supervisor.ends() == 0
        log = supervisor.log.read_text()
        assert log.count("hub up") == 1
        assert log.count("hub got SIGTERM") == 1
        assert f'"program": "edge", "exit_code": {code or 1}, "retry_s"' in log


async def test_one_that_is_killed_is_started_again(tmp_path: Path) -> None:
    async with supervising(tmp_path, "hub 1:0", "edge 1:0") as supervisor:
        await supervisor.says("edge up")
        pid = await supervisor.says(r'"program": "edge", "pid": (\d+)')
        os.kill(int(pid), signal.SIGKILL)
        await supervisor.says(r"(?s)edge up.*edge up")
        supervisor.process.send_signal(signal.SIGTERM)

        assert await supervisor.ends() == 0
        assert await supervisor.says(f'"exit_code": {128 + signal.SIGKILL}, "retry_s"')


async def test_a_signal_ends_one_that_waits_for_its_next_start(tmp_path: Path) -> None:
    async with supervising(tmp_path, "hub 1:0", "edge 1:0 patient exit4") as supervisor:
        await supervisor.says("hub up")
        await supervisor.says("program.failed")
        supervisor.process.send_signal(signal.SIGTERM)

        assert await supervisor.ends() == 4
        assert supervisor.log.read_text().count("edge up") == 1


async def test_wrong_settings_at_the_first_start_end_all(tmp_path: Path) -> None:
    async with supervising(tmp_path, "hub 1:0", "edge 1:0 exit78") as supervisor:
        assert await supervisor.ends() == 78
        assert await supervisor.says(r'"program": "hub", "exit_code": 0, "event": "program.ended"')


async def test_wrong_settings_later_are_tried_some_times_and_leave_the_other_alone(
    tmp_path: Path,
) -> None:
    async with supervising(tmp_path, "hub 1:0", "edge 1:0 first1 exit78") as supervisor:
        await supervisor.says("program.given_up")
        supervisor.process.send_signal(signal.SIGTERM)

        assert await supervisor.ends() == 78
        log = supervisor.log.read_text()
        assert log.count("edge up") == 1 + 3  # the first start, and the tries
        assert log.count("hub up") == log.count("hub got SIGTERM") == 1


async def test_when_all_stay_down_the_whole_ends(tmp_path: Path) -> None:
    async with supervising(tmp_path, "edge 1:0 first1 exit78") as supervisor:
        assert await supervisor.ends() == 78


async def test_a_failed_drain_is_the_exit_code(tmp_path: Path) -> None:
    async with supervising(tmp_path, "hub 1:75", "edge 1:0") as supervisor:
        await supervisor.says("hub up")
        await supervisor.says("edge up")
        supervisor.process.send_signal(signal.SIGTERM)

        assert await supervisor.ends() == 75


async def test_one_that_was_not_up_yet_when_told_to_end_lost_nothing(tmp_path: Path) -> None:
    async with supervising(tmp_path, "hub 1:0 deaf") as supervisor:
        await supervisor.says("hub up")
        supervisor.process.send_signal(signal.SIGTERM)

        assert await supervisor.ends() == 0


async def test_one_that_does_not_listen_is_killed_after_its_deadline(tmp_path: Path) -> None:
    async with supervising(tmp_path, "hub never", "edge 1:0") as supervisor:
        await supervisor.says("hub up")
        supervisor.process.send_signal(signal.SIGTERM)

        assert await supervisor.ends() == 128 + signal.SIGKILL


async def test_programs_drain_when_their_supervisor_dies_without_a_word(tmp_path: Path) -> None:
    async with supervising(tmp_path, "hub 1:0", "edge 1:0") as supervisor:
        await supervisor.says("hub up")
        await supervisor.says("edge up")
        supervisor.process.kill()

        assert await supervisor.says("hub got SIGTERM")
        assert await supervisor.says("edge got SIGTERM")
