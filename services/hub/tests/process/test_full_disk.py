"""A disk that is full, for real: what still works, what says so, and the way back."""

import asyncio
import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.hub_process import running, settings
from support.replicas import ready_until

from towonel.api.invites import InviteIn
from towonel.client.hub import HubClient
from towonel.hub.app import serve
from towonel.hub.timing import Timing
from towonel.wire.errors import Unavailable

QUICK = Timing(health_check_s=0.05, maintenance_s=0.1)
REASON = "database: disk full: reads are answered, writes are refused"
DISK_BYTES = 8 * 1024 * 1024


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small disk of its own."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a disk that is small enough to fill")
    folder = tmp_path / "disk"
    folder.mkdir()
    options = f"size={DISK_BYTES},mode=0700"
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


@contextlib.contextmanager
def full(disk: Path, *, left_bytes: int = 0) -> Iterator[None]:
    """Fill a disk but for so many bytes."""
    filler, status = disk / "filler", os.statvfs(disk)
    free = status.f_bavail * status.f_frsize
    with filler.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, free - left_bytes)
    yield
    filler.unlink()


async def write_until_refused(client: HubClient) -> Unavailable:
    """Write until there is no room."""
    names = [f"{number}{'x' * 50}.eu" for number in range(300)]
    for number in range(1_000):
        try:
            await client.invites.create(InviteIn(hostnames=[f"n{number}.{name}" for name in names]))
        except Unavailable as error:
            return error
    raise AssertionError("a full disk takes everything")


async def test_a_full_disk_is_told_until_there_is_room_for_more_than_a_value(disk: Path) -> None:
    chosen = settings(disk / "state")
    async with running(chosen, QUICK) as client:
        await client.invites.create(InviteIn(hostnames=["a.eu"]))
        with full(disk, left_bytes=128 * 1024):
            refused = await write_until_refused(client)
            status, reasons = await ready_until(chosen, lambda _status, said: "database" in said)
            told = []
            for _ in range(10):  # a small write still fits, and does not make it ready
                with contextlib.suppress(Unavailable):
                    await client.keys.whoami()
                told.append((await ready_until(chosen, lambda *_: True))[1].get("database"))
                await asyncio.sleep(QUICK.health_check_s)
            listed = await client.invites.list(limit=1)
        await ready_until(chosen, lambda _status, said: not said)
        await client.invites.create(InviteIn(hostnames=["b.eu"]))

    assert refused.retry_after_s
    assert (status, reasons["database"]) == (200, REASON)
    assert set(told) == {REASON}
    assert len(listed.invites) == 1


async def test_a_hub_that_starts_on_a_full_disk_waits_for_room(disk: Path) -> None:
    chosen, stopping = settings(disk / "state"), asyncio.Event()
    async with running(chosen, QUICK):
        pass
    assert not [*disk.rglob("*-wal")]
    async with asyncio.timeout(30), asyncio.TaskGroup() as tasks:
        with full(disk):
            tasks.create_task(serve(chosen, stopping, QUICK))
            _, reasons = await ready_until(chosen, lambda _status, said: "waiting" in str(said))
        await ready_until(chosen, lambda status, _said: status == 200)
        stopping.set()

    assert reasons["database"].startswith("waiting for it: disk")
