"""Load driver of the benchmark: it counts what arrives, and reports what does not."""

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from load_driver import BenchError, Driver, Outcome, build_driver, cache_folder, run_driver
from process_usage import connections_to
from support.ports import free_port
from support.stack import until

HELLO, MESSAGE = 5, 1024


@pytest_asyncio.fixture
async def driver() -> AsyncIterator[Driver]:
    async with run_driver(build_driver(cache_folder())) as running:
        yield running


async def measure(
    driver: Driver, mode: str, port: int, connections: int = 2, seconds: float = 0.05
) -> Outcome:
    async with driver.load(mode, port, connections, seconds) as load:
        await load.run()
        return await load.outcome()


@contextlib.asynccontextmanager
async def answering(answer: bytes | None, first: bytes = b"!") -> AsyncIterator[int]:
    """A server that answers a hello as an origin does, and what follows with other bytes, or its end."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            head = await reader.readexactly(HELLO)
            await reader.readexactly(int.from_bytes(head[3:]))
            writer.write(first)
            while await reader.read(MESSAGE) and answer is not None:
                writer.write(answer)
                await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]
        server.close_clients()


@pytest.mark.parametrize("mode", ["echo", "conn"])
async def test_operations_are_counted_and_timed(driver: Driver, mode: str) -> None:
    outcome = await measure(driver, mode, driver.origin_port)

    assert (outcome.failed, outcome.failure) == (0, "")
    assert outcome.operations > 0
    assert 0 < outcome.p50_us <= outcome.p99_us
    assert outcome.seconds >= 0.05


async def test_a_driver_lasts_until_what_it_worked_has_been_read(driver: Driver) -> None:
    async with driver.load("echo", driver.origin_port, 1, 0.05) as load:
        await load.run()
        await load.outcome()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(load.process.wait(), 0.2)

    assert load.process.returncode == -signal.SIGKILL


async def test_a_driver_ends_with_its_input(driver: Driver) -> None:
    async with driver.load("echo", driver.origin_port, 1, 0.05) as load:
        await load.run()
        await load.outcome()
        assert load.process.stdin
        load.process.stdin.close()
        async with asyncio.timeout(5):
            assert await load.process.wait() == 0


@pytest.mark.parametrize("mode", ["down", "up"])
async def test_bulk_is_counted_where_it_arrives(driver: Driver, mode: str) -> None:
    outcome = await measure(driver, mode, driver.origin_port)

    assert (outcome.failed, outcome.operations) == (0, 0)
    assert outcome.bytes > 1_000_000


async def test_bytes_that_do_not_reach_the_origin_are_not_counted(driver: Driver) -> None:
    async with answering(b"") as swallows:
        outcome = await measure(driver, "up", swallows)

    assert (outcome.bytes, outcome.failed) == (0, 0)


async def test_an_echo_of_other_bytes_is_a_failure(driver: Driver) -> None:
    async with answering(bytes(MESSAGE)) as garbles:
        outcome = await measure(driver, "echo", garbles)

    assert (outcome.operations, outcome.failed) == (0, 2)
    assert outcome.failure == "an echo is not what was sent"


async def test_idle_connections_are_open_until_the_load_ends(driver: Driver) -> None:
    descriptors = Path(f"/proc/{driver.origin_pid}/fd")
    before = len(list(descriptors.iterdir()))
    async with driver.load("idle", driver.origin_port, 50, 0) as load:
        opened = len(list(descriptors.iterdir())) - before
        await load.run()
        outcome = await load.outcome()

    assert opened == 50
    assert outcome.failed == 0


@pytest.mark.parametrize("mode", ["echo", "conn", "down", "up", "idle"])
async def test_where_nobody_listens_every_connection_fails_with_the_reason(
    driver: Driver, mode: str
) -> None:
    outcome = await measure(driver, mode, free_port(), connections=3)

    assert (outcome.operations, outcome.bytes, outcome.failed) == (0, 0, 3)
    assert outcome.failure == "Connection refused"


async def test_connections_that_are_not_even_tried_after_many_failures_are_failures(
    driver: Driver,
) -> None:
    outcome = await measure(driver, "idle", free_port(), connections=1_500)

    assert (outcome.failed, outcome.failure) == (1_500, "Connection refused")


async def test_an_idle_connection_that_does_not_last_is_a_failure() -> None:
    async with run_driver(build_driver(cache_folder())) as driver:
        load = driver.load("idle", driver.origin_port, 3, 0)
        async with load as idle:
            os.kill(driver.origin_pid, signal.SIGKILL)
            await until(lambda: not connections_to(idle.process.pid, driver.origin_port))
            await idle.run()
            outcome = await idle.outcome()

    assert (outcome.failed, outcome.failure) == (3, "closed by the other side")


@pytest.mark.parametrize("mode", ["echo", "conn", "down", "up", "idle"])
@pytest.mark.parametrize(
    ("first", "failure"),
    [(b"\x15\3\3\0\2\2\x50", "refused by a TLS alert"), (b"?", "not answered by the origin")],
)
async def test_a_client_that_is_refused_with_an_answer_is_a_failure(
    driver: Driver, mode: str, first: bytes, failure: str
) -> None:
    async with answering(None, first) as refuses:
        outcome = await measure(driver, mode, refuses, connections=3)

    assert (outcome.operations, outcome.bytes, outcome.failed) == (0, 0, 3)
    assert outcome.failure == failure


@pytest.mark.parametrize("mode", ["echo", "down", "up"])
async def test_a_connection_that_the_other_side_ends_is_a_failure(
    driver: Driver, mode: str
) -> None:
    async with answering(None) as closes:
        outcome = await measure(driver, mode, closes, seconds=5)

    assert (outcome.operations, outcome.failed) == (0, 2)
    assert outcome.failure in {
        *("closed by the other side", "Connection reset by peer", "Broken pipe")
    }


def test_the_driver_is_compiled_once_for_each_source(tmp_path: Path) -> None:
    built = build_driver(tmp_path)
    made_ns = built.stat().st_mtime_ns

    assert build_driver(tmp_path).stat().st_mtime_ns == made_ns
    assert [path.name for path in tmp_path.iterdir()] == [built.name]


def test_without_a_compiler_the_error_tells_how_to_get_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CC", "/nowhere/cc -m64")

    with pytest.raises(BenchError, match=r"`/nowhere/cc` cannot be run .*apt-get install gcc"):
        build_driver(tmp_path)


def test_a_compiler_that_refuses_is_quoted_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuses = tmp_path / "cc"
    refuses.write_text("#!/bin/sh\necho 'driver.c:1: fatal error: no such header' >&2\nexit 1\n")
    refuses.chmod(0o755)
    monkeypatch.setenv("CC", str(refuses))

    with pytest.raises(BenchError, match=r"fatal error: no such header; .*libc6-dev"):
        build_driver(tmp_path / "cache")
    assert [*(tmp_path / "cache").iterdir()] == []
