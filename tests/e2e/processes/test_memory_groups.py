"""Control groups of memory: they count what processes hold, and what the kernel holds for them."""

import contextlib
import multiprocessing
import tempfile
from collections.abc import Callable, Generator
from pathlib import Path

import pytest
from support import fork_server
from support.cgroups import (
    MemoryGroup,
    NoGroupError,
    find_root,
    memory_groups,
    parse_mounts,
    parse_usage_v1,
    parse_usage_v2,
    parse_writable,
)
from support.group_holders import (
    HELD,
    hold,
    hold_files,
    hold_in_pipes,
    hold_in_sockets,
    hold_own,
    hold_shared,
)
from support.postgres import ON_DISK
from support.stack import until

# The kernel charges in advance, for each processor; sockets may take twice their bytes.
SLACK = 512 * 1024


def test_of_version_1_buffers_of_sockets_count_and_cache_does_not() -> None:
    stat = "cache 1\nrss 2\ntotal_cache 500\ntotal_shmem 100\ntotal_rss 600\n"
    texts = {
        "memory.usage_in_bytes": "1300\n",
        "memory.kmem.tcp.usage_in_bytes": "70\n",
        "memory.stat": stat,
    }

    assert parse_usage_v1(texts) == 1300 + 70 - 400


def test_of_version_2_cache_does_not_count() -> None:
    texts = {
        "memory.current": "1300\n",
        "memory.stat": "anon 600\nfile 500\nsock 70\nshmem 100\n",
    }

    assert parse_usage_v2(texts) == 1300 - 400


def test_the_version_that_counts_memory_is_taken(tmp_path: Path) -> None:
    both = (
        "tmpfs /sys tmpfs rw 0 0\n"
        "cgroup /c/cpu cgroup rw,cpu 0 0\n"
        "cgroup /c/memory cgroup rw,relatime,memory 0 0\n"
        f"cgroup2 {tmp_path} cgroup2 rw 0 0\n"
    )
    found = parse_mounts(both)
    (tmp_path / "cgroup.controllers").write_text("cpu io memory\n")

    assert found == {1: Path("/c/memory"), 2: tmp_path}
    assert find_root(found) == (1, Path("/c/memory"))
    assert find_root({2: tmp_path}) == (2, tmp_path)


def test_where_nothing_counts_memory_the_reason_is_told(tmp_path: Path) -> None:
    (tmp_path / "cgroup.controllers").write_text("hugetlb\n")

    with pytest.raises(NoGroupError, match="no memory controller"):
        find_root({2: tmp_path})
    with pytest.raises(NoGroupError, match="no control groups are mounted"):
        find_root({})


def test_what_a_process_may_write_to_is_found_in_its_map() -> None:
    maps = (
        "00400000-00401000 r--p 00000000 08:01 1 /bin/x\n"
        "00401000-00403000 rw-p 00001000 08:01 1 /bin/x\n"
        "7f0000000000-7f0000001000 rw-s 00000000 00:01 2 /memfd:index (deleted)\n"
        "7ffc00000000-7ffc00021000 rw-p 00000000 00:00 0 [stack]\n"
    )

    assert parse_writable(maps) == [(0x401000, 0x2000), (0x7FFC00000000, 0x21000)]


@pytest.fixture
def group() -> Generator[MemoryGroup]:
    try:
        with memory_groups("one") as groups:
            yield groups["one"]
    except NoGroupError as error:
        pytest.skip(f"memory is not counted by control group: {error}")


@contextlib.contextmanager
def holding(
    group: MemoryGroup, make: Callable[..., object], *arguments: str
) -> Generator[Callable[[], int]]:
    """Let a process of a group hold what it makes; what is yielded tells by how much the group has grown."""
    ours, theirs = multiprocessing.Pipe()
    work = (group.folder, make, arguments, theirs)
    process = fork_server.context().Process(target=hold, args=work, daemon=True)
    process.start()
    theirs.close()
    with ours:
        assert ours.recv() == "entered"
        before = group.usage()
        ours.send("go on")
        assert ours.recv() == "held"
        yield lambda: group.usage() - before
    process.join()


@pytest.mark.parametrize("make", [hold_own, hold_shared, hold_in_pipes, hold_in_sockets])
async def test_a_group_counts_what_its_processes_hold_in_kernel_and_memory(
    group: MemoryGroup, make: Callable[[], object]
) -> None:
    with holding(group, make) as growth:
        await until(lambda: HELD - SLACK < growth() < 2 * HELD + SLACK)


async def test_a_group_does_not_count_files_that_were_written(
    group: MemoryGroup,
) -> None:
    with (
        tempfile.TemporaryDirectory(dir=ON_DISK) as folder,  # in memory a file would count
        holding(group, hold_files, f"{folder}/log") as growth,
    ):
        await until(lambda: growth() < SLACK)  # the kernel renews what it tells of files at times
