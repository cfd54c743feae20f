"""Rate limiter of log lines: the first at once, the others counted, whatever the keys."""

import asyncio
import json
import tracemalloc
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager

import pytest
import structlog
from structlog.testing import capture_logs

from towonel.runtime import log_limit, logs
from towonel.runtime.log_limit import LogLimit


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not holds():
            await asyncio.sleep(0.01)


async def until_more(lines: Sequence[object], than: int) -> None:
    await until(lambda: len(lines) > than)


@contextmanager
def traced_memory(path: str) -> Generator[Callable[[], int]]:
    """What the code of a file has asked for since the begin, and Python still holds."""

    def held_bytes() -> int:
        of_file = tracemalloc.take_snapshot().filter_traces([tracemalloc.Filter(True, path)])
        return sum(each.size for each in of_file.statistics("filename"))

    tracemalloc.start()
    try:
        yield held_bytes
    finally:
        tracemalloc.stop()


async def test_the_first_line_is_written_at_once_and_the_others_are_counted() -> None:
    limit = LogLimit(interval_s=0.05)
    with capture_logs() as lines:
        for number in range(1_000):
            limit.info("client.refused", key="a", number=number)
        at_once = list(lines)
        await until_more(lines, 1)

    first = {"event": "client.refused", "log_level": "info", "number": 0}
    assert at_once == [first]
    assert lines == [first, first | {"number": 999, "count": 999}]


async def test_a_key_has_one_line_in_an_interval_and_no_line_is_uncounted() -> None:
    limit = LogLimit(interval_s=0.05)
    with capture_logs() as lines:
        for _ in range(3):  # each written line opens the next interval
            written = len(lines)
            limit.info("client.refused", key="a")
            limit.info("client.refused", key="a")
            await until_more(lines, max(written, 1))

    assert [line.get("count") for line in lines] == [None, 1, 2, 2]


async def test_a_key_that_was_quiet_for_an_interval_is_written_at_once_again() -> None:
    limit = LogLimit(interval_s=0.02)
    with capture_logs() as lines:
        for key in "abb":
            limit.warning("client.refused", key=key, name=key)
        await until_more(lines, 2)  # the interval of `a` is over, too
        limit.warning("client.refused", key="a", name="a")

    assert {line["log_level"] for line in lines} == {"warning"}
    assert [(line["name"], line.get("count")) for line in lines] == [
        ("a", None),
        ("b", None),
        ("b", 1),
        ("a", None),
    ]


async def test_keys_are_counted_apart() -> None:
    limit = LogLimit(interval_s=0.05)
    with capture_logs() as lines:
        for key in "aab":
            limit.info("client.refused", key=key, name=key)
        limit.info("session.refused", key="a", name="a")
        await until_more(lines, 3)

    assert [(line["event"], line["name"], line.get("count")) for line in lines] == [
        ("client.refused", "a", None),
        ("client.refused", "b", None),
        ("session.refused", "a", None),
        ("client.refused", "a", 1),
    ]


async def test_any_number_of_keys_costs_few_lines_and_little_memory() -> None:
    limit = LogLimit(interval_s=0.05, max_keys=5)
    with capture_logs() as lines, traced_memory(log_limit.__file__) as held_bytes:
        for number in range(10_000):
            limit.info("client.refused", key=number)
            limit.info("session.refused", key=number)
        held = held_bytes()
        await until(lambda: sum(int(line.get("count", 1)) for line in lines) == 20_000)

    assert held < 10_000
    assert len(lines) == 5 + 2


async def test_an_owner_of_many_keys_leaves_lines_to_others() -> None:
    limit = LogLimit(interval_s=1_000, max_keys=10, max_keys_per_owner=3)
    with capture_logs() as lines:
        for interval in range(3):
            for number in range(200):
                key = (interval if number > 100 else 0, number % 100)
                limit.info("session.admitted", key=key, owner="a", name="a")
            limit.info("session.admitted", key=interval, owner="b", name="b")
            limit._end_interval()
    limit.flush()

    assert [line["name"] for line in lines].count("b") == 3
    assert len(lines) == 3 + 3 * (3 + 1 + 1)  # at once; counted, beyond, and the other's
    assert sum(line.get("count", 1) for line in lines) == 3 * 201


async def test_what_is_counted_is_written_at_the_end_of_the_process() -> None:
    limit = LogLimit()
    with capture_logs() as lines:
        limit.info("client.refused", key="a")
        limit.info("client.refused", key="a")
        limit.flush()
        limit.flush()

    assert [line.get("count") for line in lines] == [None, 1]


async def test_a_counted_line_has_the_context_of_no_request(
    capsys: pytest.CaptureFixture[str],
) -> None:
    logs.configure("info", "json", "example")
    limit = LogLimit(interval_s=0.02)
    with structlog.contextvars.bound_contextvars(request_id="r1"):
        limit.info("request.refused", key="a")
        limit.info("request.refused", key="a")
    written: list[str] = []

    def has_both() -> bool:
        written.extend(capsys.readouterr().err.splitlines())
        return len(written) >= 2

    await until(has_both)

    first, counted = map(json.loads, written)
    assert first["request_id"] == "r1"
    assert "request_id" not in counted
    assert counted["service"] == "example"
