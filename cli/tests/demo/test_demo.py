"""`towonel demo` as a newcomer runs it: it works, it explains itself, and it leaves nothing behind."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.ports import free_ports

WAIT_S = 60
FINGERPRINT = re.compile(r"SHA-256 ((?:[0-9A-F]{2}:){31}[0-9A-F]{2})")


@contextmanager
def demo(folder: Path, *flags: str) -> Iterator[subprocess.Popen[str]]:
    command = (sys.executable, "-m", "towonel.cli", "demo", *flags)
    environ = os.environ | {"TMPDIR": str(folder), "TOWONEL_HUB_LISTEN_ADDR": "must be ignored"}
    with subprocess.Popen(
        command, env=environ, text=True, stdout=-1, stderr=-2, start_new_session=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def left_behind(folder: Path) -> list[str]:
    """Files in this folder, and command lines of processes that were started for it."""
    found = [str(path) for path in folder.iterdir()]
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            words = (entry / "cmdline").read_bytes() + (entry / "environ").read_bytes()
        except OSError:
            continue
        if str(folder).encode() in words:
            found.append(words.decode(errors="replace"))
    return found


def read_until(process: subprocess.Popen[str], text: str) -> str:
    assert process.stdout
    seen = ""
    for line in process.stdout:
        seen += line
        if text in line:
            return seen
    raise AssertionError(seen)


def test_once_shows_the_page_and_that_the_certificate_is_the_services_own(tmp_path: Path) -> None:
    with demo(tmp_path, "--once", "--port-base", str(free_ports(6))) as process:
        output, _ = process.communicate(timeout=WAIT_S)

    own, seen, again = FINGERPRINT.findall(output)
    assert process.returncode == 0, output
    assert own == seen == again
    assert '"Hello from home"' in output
    assert "\x1b" not in output
    assert "tt_inv_2_..." in output
    assert not re.search(r"tt_inv_2_\w", output)
    assert left_behind(tmp_path) == []


def test_for_programs_each_step_is_a_line_of_json(tmp_path: Path) -> None:
    with demo(tmp_path, "--once", "--json", "--port-base", str(free_ports(6))) as process:
        output, _ = process.communicate(timeout=WAIT_S)

    told = [json.loads(line) for line in output.splitlines()]
    assert sum("step" in line for line in told) == 5
    assert told[-2]["ok"] is True
    assert told[-1] == {"stopped": True}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_stays_until_a_signal_and_then_takes_everything_with_it(
    tmp_path: Path, number: signal.Signals
) -> None:
    with demo(tmp_path, "--port-base", str(free_ports(6))) as process:
        curl = read_until(process, "curl --resolve").splitlines()[-1]
        page = subprocess.run(curl.split(), capture_output=True, text=True, check=False)
        os.killpg(process.pid, number)  # as a terminal does for Ctrl-C
        output, _ = process.communicate(timeout=WAIT_S)

    assert "<h1>Hello from home</h1>" in page.stdout, page.stderr
    assert process.returncode == 0, output
    assert left_behind(tmp_path) == []


@pytest.mark.parametrize(
    "step",
    [
        pytest.param("1. ", marks=pytest.mark.soak),
        "2. ",
        pytest.param("4. ", marks=pytest.mark.soak),
    ],
)
def test_a_signal_in_the_middle_leaves_nothing_either(tmp_path: Path, step: str) -> None:
    with demo(tmp_path, "--once", "--port-base", str(free_ports(6))) as process:
        read_until(process, step)
        process.terminate()
        output, _ = process.communicate(timeout=WAIT_S)

    assert process.returncode == 1, output
    assert left_behind(tmp_path) == []


def test_ports_in_use_are_named_with_their_role_and_a_way_out(tmp_path: Path) -> None:
    base = free_ports(6)
    with (
        socket.create_server(("127.0.0.1", base)),
        socket.create_server(("127.0.0.1", base + 2)),
        demo(tmp_path, "--once", "--port-base", str(base)) as process,
    ):
        output, _ = process.communicate(timeout=WAIT_S)

    assert process.returncode == 1
    assert f"port {base} (the edge, for clients and agents) is in use" in output
    assert f"port {base + 2} (the hub's API) is in use" in output
    assert "--port-base" in output


def test_a_program_that_dies_is_named_with_its_last_words(tmp_path: Path) -> None:
    with demo(tmp_path, "--port-base", str(free_ports(6))) as process:
        read_until(process, "curl --resolve")
        [victim] = [pid for pid in children_of(process.pid) if "towonel.agent" in command(pid)]
        os.kill(victim, signal.SIGKILL)
        output, _ = process.communicate(timeout=WAIT_S)

    assert process.returncode == 1
    assert "agent was ended by SIGKILL" in output
    assert "The last lines of agent's log:" in output
    assert left_behind(tmp_path) == []


def test_the_programs_end_when_the_demo_is_killed(tmp_path: Path) -> None:
    with demo(tmp_path, "--port-base", str(free_ports(6))) as process:
        read_until(process, "curl --resolve")
        process.kill()
        process.wait()
        deadline = time.monotonic() + WAIT_S
        while (
            any("python" in item for item in left_behind(tmp_path)) and time.monotonic() < deadline
        ):
            time.sleep(0.05)

    [folder] = left_behind(tmp_path)
    assert folder.startswith(f"{tmp_path}/towonel-demo-")


def children_of(pid: int) -> list[int]:
    return [int(i) for i in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def command(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_text()
