"""Runs of the benchmark: every cell of every subject that is there, and why others are not."""

import asyncio
import contextlib
import json
import os
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import towonel_ways
from cells import DEFAULT, LOAD_SHARE, parse_cells
from load_driver import build_driver, cache_folder
from run import parse_arguments
from schedule import Report, Schedule
from subject import Entry, Subject, SubjectError
from subjects import SUBJECTS, parse_subjects, version_of, with_workers
from support.ports import free_port

ROOT = Path(__file__).parents[2]
CELLS = "idle-4,down-2,up-2,echo-3,conn-2,beside-5"
OURS = ("streams", "lanes", "lanes-python", "lanes-tls", "tcp")


async def run(subjects: list[Subject], cells: str = CELLS, rounds: int = 1) -> tuple[Report, str]:
    report, said = Report(), list[str]()
    schedule = Schedule(subjects, parse_cells(cells), rounds, 0.05, said.append)
    async with asyncio.timeout(60):
        await schedule.run(build_driver(cache_folder()), report)
    return report, "\n".join(said)


def does_not_start(folder: Path, origin: int) -> AbstractAsyncContextManager[Entry]:
    raise SubjectError("port 1 is taken")


@contextlib.asynccontextmanager
async def leads_nowhere(folder: Path, origin: int) -> AsyncIterator[Entry]:
    yield Entry(free_port(), {"server": os.getpid()})


async def test_every_cell_is_measured_of_a_direct_connection_and_of_haproxy() -> None:
    report, said = await run(parse_subjects("direct,haproxy-twice"))

    assert (report.broken, report.left_out) == ({}, {})
    assert {(row.cell, row.subject) for row in report.rows} == {
        (cell, subject)
        for cell in CELLS.split(",")
        for subject in ("direct", "haproxy-twice")
        if (cell, subject) != ("idle-4", "direct")
    }
    for row in report.rows:
        assert row.figures["failed"] == 0, row
        assert row.cell == "idle-4" or (row.figures.get("per_s") or row.figures["gbit_s"]) > 0
        assert row.cell != "beside-5" or row.figures["per_s_alone"] > 0
    assert "round 1/1 down-2 haproxy-twice: gbit_s " in said


async def test_subjects_take_turns_and_another_is_first_in_each_round() -> None:
    first, second = (Subject(name, SUBJECTS["direct"].start) for name in ("direct", "bore"))
    report, _ = await run([first, second], "echo-1,conn-1", rounds=2)

    assert [(row.round, row.cell, row.subject) for row in report.rows] == [
        *((1, "echo-1", "direct"), (1, "echo-1", "bore")),
        *((1, "conn-1", "direct"), (1, "conn-1", "bore")),
        *((2, "echo-1", "bore"), (2, "echo-1", "direct")),
        *((2, "conn-1", "bore"), (2, "conn-1", "direct")),
    ]


async def test_who_cannot_be_measured_is_named_with_the_reason_and_the_others_go_on() -> None:
    report, said = await run(
        [
            Subject("frp", does_not_start, programs=("no-such-program",)),
            Subject("ssh", does_not_start),
            Subject("bore", leads_nowhere),
            SUBJECTS["direct"],
        ],
        "echo-1",
    )

    assert report.left_out == {"frp": "not installed: no-such-program"}
    assert report.broken == {"ssh": "port 1 is taken", "bore": "echo-1: Connection refused"}
    assert {row.subject: row.figures["failed"] for row in report.rows} == {"bore": 1, "direct": 0}
    assert "frp is left out: not installed" in said
    assert "ssh does not start: port 1 is taken" in said


@contextlib.asynccontextmanager
async def serves_at_most(most: int, folder: Path, origin: int) -> AsyncIterator[Entry]:
    """A subject that refuses clients beyond a number at once, by closing them."""
    serving = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal serving
        serving += 1
        try:
            if serving <= most:
                await relay(reader, writer, origin)
        finally:
            serving -= 1
            writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield Entry(server.sockets[0].getsockname()[1], {"server": os.getpid()})
        server.close_clients()


async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, origin: int) -> None:
    to, back = await asyncio.open_connection("127.0.0.1", origin)

    async def copy(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await source.read(65_536):
                sink.write(data)
        sink.close()

    with contextlib.closing(back):
        await asyncio.gather(copy(reader, back), copy(to, writer))


async def test_a_busy_client_is_measured_while_idle_ones_are_open() -> None:
    """All those that the subject has room for are, and one more has none."""
    enough, short = (
        Subject(name, partial(serves_at_most, most)) for name, most in (("bore", 9), ("frp", 8))
    )
    report, _ = await run([enough, short], "beside-8")

    assert report.broken.keys() == {"frp"}
    assert {row.subject: row.figures["failed"] for row in report.rows} == {"bore": 0, "frp": 1}


async def test_of_one_client_that_waits_the_share_of_driver_and_origin_is_measured() -> None:
    report, _ = await run([SUBJECTS["direct"]], "echo-1,echo-2,beside-2")

    found = {row.cell: row.figures for row in report.rows}
    assert {cell for cell, figures in found.items() if LOAD_SHARE in figures} == {
        "echo-1",
        "beside-2",
    }


async def test_a_cell_of_more_connections_than_a_subject_holds_is_left_out_of_it() -> None:
    few = Subject("bore", SUBJECTS["direct"].start, most_connections=5)
    report, said = await run([few, SUBJECTS["direct"]], "beside-5,echo-5")

    assert report.left_out == {"beside-5 bore": "it holds 5 connections at once"}
    assert "beside-5 bore is left out: it holds 5" in said
    assert [(row.cell, row.subject) for row in report.rows] == [
        *(("beside-5", "direct"), ("echo-5", "bore"), ("echo-5", "direct")),
    ]


@pytest.mark.parametrize(
    ("output", "version"),
    [
        ("HAProxy version 2.6.12-1+deb12u4 2026/10/01", "2.6.12-1+deb12u4"),
        ("Build Timestamp: 2026-11-27T00:04:29.58Z Build Version: 0.5.0", "0.5.0"),
        ("OpenSSH_9.2p1 Debian-2", "OpenSSH_9.2p1"),
        ("no number", ""),
    ],
)
def test_versions_are_what_programs_say(output: str, version: str) -> None:
    assert version_of(Subject("x", does_not_start, version=("echo", output))) == version


@pytest.mark.parametrize(
    ("value", "obstacle"),
    [("auto", None), ("off", None), ("tls", None), ("on", "TOWONEL_AGENT_LANES: ")],
)
def test_a_way_that_the_agent_refuses_is_left_out_in_its_words(
    value: str, obstacle: str | None
) -> None:
    found = towonel_ways.find_obstacle({towonel_ways.LANES: value})

    assert found == obstacle or (obstacle and found and found.startswith(obstacle))


async def start_command(*arguments: str) -> Process:
    environ = {**os.environ, "PYTHONPATH": str(ROOT / "tests")}
    return await asyncio.create_subprocess_exec(
        *(sys.executable, str(ROOT / "bench/run.py"), *arguments),
        env=environ,
        stdout=PIPE,
        stderr=PIPE,
    )


async def run_command(*arguments: str) -> tuple[int | None, str, str]:
    process = await start_command(*arguments)
    output, errors = await process.communicate()
    return process.returncode, output.decode(), errors.decode()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--seconds", "0"), "argument --seconds: '0' must be a number of seconds"),
        (("--json", "/nowhere/x.json"), "must be a file in a folder that exists"),
        (("--workers", "65"), "argument --workers: '65' must be a whole number from 1 to 64"),
        (("--subjects", "ngrok"), "argument --subjects: 'ngrok' is no subject"),
    ],
)
def test_wrong_arguments_are_refused_with_the_rule(
    arguments: tuple[str, str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        parse_arguments(arguments)

    assert message in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.processes
@pytest.mark.soak
async def test_every_cell_works_of_every_subject_that_is_here(tmp_path: Path) -> None:
    written = tmp_path / "bench.json"
    arguments = ("--seconds", "0.2", "--rounds", "1", "--json", str(written))
    status, printed, errors = await run_command(*arguments)
    content: dict[str, Any] = json.loads(written.read_text())

    assert (status, content["broken"]) == (0, {}), errors
    for name in SUBJECTS:
        if name in content["left_out"]:
            assert content["left_out"][name] in printed
            continue
        for cell in DEFAULT:
            if (name, cell) == ("direct", "idle-1000") or f"{cell} {name}" in content["left_out"]:
                continue
            assert_measured(content["medians"][cell][name], name)
    assert content["left_out"].keys().isdisjoint({"direct", "streams", "haproxy-twice"})


@pytest.mark.processes
@pytest.mark.soak
async def test_both_sides_of_a_way_have_the_workers_that_are_asked_for(tmp_path: Path) -> None:
    [lanes] = with_workers(parse_subjects("lanes"), 2)
    async with lanes.start(tmp_path, free_port()) as entry:
        counts = {side: len(children_of(pid)) for side, pid in entry.roots.items()}

    assert counts == {"server": 2, "client": 2, "hub": 0}


def children_of(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()


@pytest.mark.processes
@pytest.mark.soak
async def test_an_interrupted_run_prints_what_it_has_and_leaves_no_process(tmp_path: Path) -> None:
    written = tmp_path / "bench.json"
    arguments = ("--subjects", "direct,haproxy-twice", "--cells", "echo-1", "--seconds", "0.5")
    process = await start_command(*arguments, "--rounds", "1000", "--json", str(written))
    assert process.stderr
    async with asyncio.timeout(60):
        while b"round 2/1000 echo-1 direct" not in await process.stderr.readline():
            pass
        children = children_of(process.pid)
        process.terminate()
        printed, errors = await process.communicate()

    assert (process.returncode, b"interrupted" in errors) == (130, True)
    assert {line.split()[1] for line in printed.decode().splitlines()[2:]} == {"echo-1"}
    assert len(json.loads(written.read_text())["measurements"]) >= 3
    assert len(children) >= 3
    assert not any(Path(f"/proc/{pid}").exists() for pid in children)


def assert_measured(figures: dict[str, float], name: str) -> None:
    """A subject did the work, and its processes cost something."""
    [rate] = {"gbit_s", "per_s", "kib_per_client"} & figures.keys()
    assert figures[rate] > 0, (name, figures)
    assert figures["failed"] == 0, (name, figures)
    costs = {"cpu_s_per_gb", "cpu_us_per_op"} & figures.keys()
    assert bool(costs) == (name != "direct" and rate != "kib_per_client")
    if name in OURS:
        assert {f"{rate}_hub", "cpu_s_per_gb_server", "cpu_us_per_op_client"} & figures.keys()
