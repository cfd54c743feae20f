"""Lifecycle: exit codes and signals of a real process."""

import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from support import fork_server

PROGRAM = Path(__file__).parent / "program.py"


class Program:
    """Forked process that runs `program.py` with one of its behaviours."""

    def __init__(self, folder: Path, way: str, **environ: str) -> None:
        pipes = folder / "stdout", folder / "stderr"
        for pipe in pipes:
            os.mkfifo(pipe)
        self.process = fork_server.fork(str(PROGRAM), os.environ | environ, (way,), pipes)
        self._stdout, self._stderr = (pipe.open() for pipe in pipes)

    def until(self, word: str) -> None:
        assert self._stdout.readline().strip() == word

    def signal(self, number: signal.Signals = signal.SIGTERM) -> None:
        assert self.process.pid
        os.kill(self.process.pid, number)

    def end(self) -> tuple[int | None, str]:
        with self._stdout, self._stderr:
            errors = self._stderr.read()
        self.process.join(timeout=20)
        return self.process.exitcode, errors


def interpret(way: str) -> subprocess.Popen[str]:
    """Run it in an interpreter of its own, for what Python itself does at the end of a process."""
    command = [sys.executable, str(PROGRAM), way]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ
    )


type Start = Callable[..., Program]


@pytest.fixture
def start(tmp_path: Path) -> Start:
    return partial(Program, tmp_path)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_first_signal_drains_and_the_exit_code_is_0(
    start: Start, number: signal.Signals
) -> None:
    program = start("drains")
    program.until("started")
    program.signal(number)
    program.until("draining")

    assert program.end()[0] == 0


def test_a_second_signal_ends_it_at_once_and_what_was_held_is_released(start: Start) -> None:
    program = start("hangs")
    program.until("started")
    program.signal()
    program.until("draining")
    program.signal()
    program.until("released")

    assert program.end()[0] == 1


def test_a_drain_that_takes_too_long_is_ended_with_75(start: Start) -> None:
    program = start("hangs", PROGRAM_DRAIN_S="0.1")
    program.until("started")
    program.signal()
    code, errors = program.end()
    asked, cancelled = (json.loads(line) for line in errors.splitlines())

    assert code == 75
    assert (asked["event"], asked["drain_s"]) == ("process.stop_requested", 0.1)
    assert (cancelled["event"], cancelled["exit_code"]) == ("process.cancelled", 75)


def test_a_drain_that_cut_something_by_itself_ends_with_75(start: Start) -> None:
    program = start("drains-too-long")
    program.until("started")
    program.signal()

    assert program.end()[0] == 75


def test_a_signal_before_the_loop_runs_drains_too(start: Start) -> None:
    program = start("drains-early")

    assert program.end()[0] == 0


def test_a_signal_while_it_ends_does_not_change_its_exit_code() -> None:
    with interpret("leaves-a-thread") as process:
        assert process.stdout
        said = iter(process.stdout)
        assert next(said) == "started\n"
        process.terminate()
        assert [next(said), next(said)] == ["draining\n", "released\n"]
        while process.poll() is None:  # what is left of it waits for its thread
            process.terminate()

    assert process.returncode == 0


def test_a_crash_is_logged_with_its_trace_and_ends_with_1(start: Start) -> None:
    code, errors = start("crashes").end()

    assert code == 1
    assert "process.crashed" in errors
    assert "ZeroDivisionError" in errors


def test_a_crash_of_a_task_is_a_crash(start: Start) -> None:
    code, errors = start("crashes-in-task").end()

    assert code == 1
    assert "ZeroDivisionError" in errors


def test_giving_up_says_why_in_one_line_without_a_trace(start: Start) -> None:
    code, errors = start("gives-up").end()

    assert code == 1
    assert "the other side says no" in errors
    assert "Traceback" not in errors


def test_wrong_settings_end_with_78_and_every_mistake_on_a_line_of_its_own(start: Start) -> None:
    code, errors = start("drains", PROGRAM_DRAIN_S="soon", PROGRAM_DRIAN="1").end()

    assert code == 78
    assert [line.partition(":")[0] for line in errors.splitlines()] == [
        "PROGRAM_DRIAN",
        "PROGRAM_DRAIN_S",
    ]


def test_whatever_python_and_its_libraries_say_is_a_line_of_json() -> None:
    with interpret("misbehaves") as process:
        lines = [json.loads(line) for line in process.communicate(timeout=20)[1].splitlines()]

    assert process.returncode == 1
    assert {(line["event"], line["level"]) for line in lines} == {
        ("library.logged", "warning"),
        ("library.logged", "error"),
        ("process.exception_ignored", "error"),
        ("process.crashed", "error"),
    }
    assert sum("ZeroDivisionError" in line.get("exception", "") for line in lines) == 4


@pytest.mark.parametrize("way", ["finds-bad-setting", "finds-bad-secret"])
def test_a_bad_setting_found_while_starting_ends_with_78_too(start: Start, way: str) -> None:
    code, errors = start(way).end()

    assert code == 78
    assert errors.strip() == "PROGRAM_PORT: is taken"


def test_as_many_clients_as_the_system_allows_find_a_descriptor(start: Start) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 512), hard))
    try:
        program = start("drains")
        program.until("started")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert program.process.pid
    allowed = resource.prlimit(program.process.pid, resource.RLIMIT_NOFILE)
    program.signal()

    assert program.end()[0] == 0
    assert allowed == (hard, hard)
