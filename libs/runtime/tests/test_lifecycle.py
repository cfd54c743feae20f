"""Lifecycle: exit codes and signals of a real process."""

import json
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).parent / "program.py"


class Program:
    """Process that runs `program.py` with one of its behaviours."""

    def __init__(self, way: str, **environ: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(PROGRAM), way],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **environ},
        )

    def until(self, word: str) -> None:
        assert self.process.stdout
        assert self.process.stdout.readline().strip() == word

    def signal(self, number: signal.Signals = signal.SIGTERM) -> None:
        self.process.send_signal(number)

    def end(self) -> tuple[int, str]:
        _, errors = self.process.communicate(timeout=20)
        return self.process.returncode, errors


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_first_signal_drains_and_the_exit_code_is_0(number: signal.Signals) -> None:
    program = Program("drains")
    program.until("started")
    program.signal(number)
    program.until("draining")

    assert program.end()[0] == 0


def test_a_second_signal_ends_it_at_once_and_what_was_held_is_released() -> None:
    program = Program("hangs")
    program.until("started")
    program.signal()
    program.until("draining")
    program.signal()
    program.until("released")

    assert program.end()[0] == 1


def test_a_drain_that_takes_too_long_is_ended_with_75() -> None:
    program = Program("hangs", PROGRAM_DRAIN_S="0.1")
    program.until("started")
    program.signal()
    code, errors = program.end()
    asked, cancelled = (json.loads(line) for line in errors.splitlines())

    assert code == 75
    assert (asked["event"], asked["drain_s"]) == ("process.stop_requested", 0.1)
    assert (cancelled["event"], cancelled["exit_code"]) == ("process.cancelled", 75)


def test_a_drain_that_cut_something_by_itself_ends_with_75() -> None:
    program = Program("drains-too-long")
    program.until("started")
    program.signal()

    assert program.end()[0] == 75


def test_a_signal_before_the_loop_runs_drains_too() -> None:
    program = Program("drains-early")

    assert program.end()[0] == 0


def test_a_signal_while_it_ends_does_not_change_its_exit_code() -> None:
    program = Program("leaves-a-thread")
    program.until("started")
    program.signal()
    program.until("draining")
    program.until("released")
    while program.process.poll() is None:  # what is left of it waits for its thread
        program.signal()

    assert program.end()[0] == 0


def test_a_crash_is_logged_with_its_trace_and_ends_with_1() -> None:
    code, errors = Program("crashes").end()

    assert code == 1
    assert "process.crashed" in errors
    assert "ZeroDivisionError" in errors


def test_a_crash_of_a_task_is_a_crash() -> None:
    code, errors = Program("crashes-in-task").end()

    assert code == 1
    assert "ZeroDivisionError" in errors


def test_giving_up_says_why_in_one_line_without_a_trace() -> None:
    code, errors = Program("gives-up").end()

    assert code == 1
    assert "the other side says no" in errors
    assert "Traceback" not in errors


def test_wrong_settings_end_with_78_and_every_mistake_on_a_line_of_its_own() -> None:
    code, errors = Program("drains", PROGRAM_DRAIN_S="soon", PROGRAM_DRIAN="1").end()

    assert code == 78
    assert [line.partition(":")[0] for line in errors.splitlines()] == [
        "PROGRAM_DRIAN",
        "PROGRAM_DRAIN_S",
    ]


def test_whatever_python_and_its_libraries_say_is_a_line_of_json() -> None:
    code, errors = Program("misbehaves").end()
    lines = [json.loads(line) for line in errors.splitlines()]

    assert code == 1
    assert {(line["event"], line["level"]) for line in lines} == {
        ("library.logged", "warning"),
        ("library.logged", "error"),
        ("process.exception_ignored", "error"),
        ("process.crashed", "error"),
    }
    assert sum("ZeroDivisionError" in line.get("exception", "") for line in lines) == 4


@pytest.mark.parametrize("way", ["finds-bad-setting", "finds-bad-secret"])
def test_a_bad_setting_found_while_starting_ends_with_78_too(way: str) -> None:
    code, errors = Program(way).end()

    assert code == 78
    assert errors.strip() == "PROGRAM_PORT: is taken"


def test_as_many_clients_as_the_system_allows_find_a_descriptor() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 512), hard))
    try:
        program = Program("drains")
        program.until("started")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    allowed = resource.prlimit(program.process.pid, resource.RLIMIT_NOFILE)
    program.signal()

    assert program.end()[0] == 0
    assert allowed == (hard, hard)
