"""Killer that runs in a pod which sees the processes of its node: `guest_kill.py`, with the uid of a pod as its input.

It kills the first process of that pod's program, by SIGKILL, which nothing within a container can do to it.
"""

import contextlib
import os
import signal
import sys
from pathlib import Path


def is_first_of(process: Path, uid: str) -> bool:
    """Return whether a process is the first one of a container of ours in that pod."""
    with contextlib.suppress(OSError):
        numbers = (process / "status").read_text().partition("NSpid:")[2].partition("\n")[0].split()
        groups = (process / "cgroup").read_text().replace("_", "-")
        is_ours = b"towonel" in (process / "cmdline").read_bytes()
        return numbers[-1] == "1" and uid in groups and is_ours
    return False  # it has ended


if __name__ == "__main__":
    wanted = sys.stdin.read().strip()
    [found] = [one for one in Path("/proc").glob("[0-9]*") if is_first_of(one, wanted)]
    os.kill(int(found.name), signal.SIGKILL)
