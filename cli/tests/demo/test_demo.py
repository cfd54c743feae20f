"""`towonel demo` as a newcomer runs it: it works, it explains itself, and it leaves nothing behind."""

import os
import re
import signal
import subprocess
import sys
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


@pytest.mark.soak  # what stays goes through the same; that this one ends: test_run.py
def test_once_shows_the_page_and_that_the_certificate_is_the_services_own(tmp_path: Path) -> None:
    with demo(tmp_path, "--once", "--port-base", str(free_ports(6))) as process:
        output, _ = process.communicate(timeout=WAIT_S)

    assert process.returncode == 0, output
    check_output(output)
    assert left_behind(tmp_path) == []


def check_output(output: str) -> None:
    """Assert that the demo shows the page, and one certificate throughout, and no secret."""
    own, seen, again = FINGERPRINT.findall(output)
    assert own == seen == again
    assert '"Hello from home"' in output
    assert "\x1b" not in output
    assert "tt_inv_2_..." in output
    assert not re.search(r"tt_inv_2_\w", output)


def test_it_stays_until_a_signal_and_then_takes_everything_with_it(tmp_path: Path) -> None:
    with demo(tmp_path, "--port-base", str(free_ports(6))) as process:
        shown = read_until(process, "curl --resolve")
        curl = shown.splitlines()[-1]
        page = subprocess.run(curl.split(), capture_output=True, text=True, check=False)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does for Ctrl-C
        output, _ = process.communicate(timeout=WAIT_S)

    assert "<h1>Hello from home</h1>" in page.stdout, page.stderr
    assert process.returncode == 0, output
    check_output(shown + output)
    assert left_behind(tmp_path) == []
