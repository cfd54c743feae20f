"""Lock of an order: one holder at a time, also where the one before removes the file, and none after a crash."""

import asyncio
import errno
import fcntl
import os
import signal
import sys
from pathlib import Path

import pytest
from support.descriptors import open_descriptors

from towonel.edge.certificates.acme.order_lock import hold_order
from towonel.wire.names import Hostname

NAME = Hostname("app.example.eu")
HOLD = """
import asyncio, sys
from pathlib import Path
from towonel.edge.certificates.acme.order_lock import hold_order
async def main():
    async with hold_order(Path(sys.argv[1]), "app.example.eu"):
        print("held", flush=True)
        await asyncio.Event().wait()
asyncio.run(main())
"""


async def test_many_who_want_it_have_it_one_after_the_other(tmp_path: Path) -> None:
    inside, held = 0, 0

    async def hold() -> None:
        nonlocal inside, held
        async with hold_order(tmp_path / "certs", NAME, look_s=0.001):
            inside += 1
            held += 1
            assert inside == 1
            await asyncio.sleep(0)
            inside -= 1

    async with asyncio.TaskGroup() as tasks:
        for _ in range(20):
            tasks.create_task(hold())

    assert held == 20
    assert list((tmp_path / "certs").iterdir()) == []


async def test_other_names_do_not_wait(tmp_path: Path) -> None:
    async with hold_order(tmp_path, NAME), hold_order(tmp_path, Hostname("b.eu")):
        assert len(list(tmp_path.iterdir())) == 2


async def test_a_process_that_dies_holds_nothing(tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", HOLD, str(tmp_path)), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    assert await process.stdout.readline() == b"held\n"
    ended = asyncio.Event()

    async def hold() -> None:
        async with hold_order(tmp_path, NAME, look_s=0.01):
            assert ended.is_set()

    waiting = asyncio.ensure_future(hold())
    await asyncio.sleep(0)
    ended.set()
    os.kill(process.pid, signal.SIGKILL)
    await process.wait()
    await waiting


async def test_a_file_that_is_removed_before_it_is_locked_holds_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, locked = tmp_path / f"{NAME}.lock", list[int]()
    lock = fcntl.flock

    def lock_late(descriptor: int, operation: int) -> None:
        if not locked:
            path.unlink()  # as the process does that had it
        locked.append(descriptor)
        lock(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", lock_late)
    async with hold_order(tmp_path, NAME, look_s=0.001):
        assert path.exists()

    assert len(locked) == 2


async def test_a_file_system_without_locks_says_so_and_keeps_nothing_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_descriptor: int, _operation: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", refuse)
    before = open_descriptors()
    with pytest.raises(OSError, match="No locks"):
        async with hold_order(tmp_path, NAME):
            pytest.fail("nobody has it")

    assert open_descriptors() == before
