"""Subjects of the benchmark by name, in the order in which they are measured and printed."""

import contextlib
import re
import subprocess
from collections.abc import AsyncIterator, Iterable
from pathlib import Path

import peers
import towonel_ways
from subject import Entry, Subject, find


@contextlib.asynccontextmanager
async def direct(folder: Path, origin: int) -> AsyncIterator[Entry]:
    """Nothing in between: the limit of this machine and of the driver."""
    yield Entry(origin)


DIRECT, RATHOLE, HAPROXY = "direct", "rathole", "haproxy-twice"
SUBJECTS = {
    subject.name: subject
    for subject in (
        Subject(DIRECT, direct),
        *towonel_ways.ways(),
        Subject(HAPROXY, peers.haproxy_twice, ("haproxy",), ("haproxy", "-v")),
        Subject(RATHOLE, peers.rathole, ("rathole",), ("rathole", "--version")),
        Subject(
            *("rathole-noise", peers.rathole_noise, ("rathole",), ("rathole", "--version")),
            find_obstacle=peers.find_obstacle_to_noise,
        ),
        Subject("bore", peers.bore, ("bore",), ("bore", "--version")),
        Subject("frp", peers.frp, ("frps", "frpc"), ("frps", "--version")),
        Subject("ssh", peers.ssh, ("sshd", "ssh", "ssh-keygen"), ("ssh", "-V")),
    )
}


def parse_subjects(text: str) -> list[Subject]:
    """Return the subjects of a list of names.

    Raises:
        ValueError: with what is wrong.
    """
    names = list(dict.fromkeys(text.split(",")))
    unknown = [name for name in names if name not in SUBJECTS]
    if unknown:
        raise ValueError(f"{unknown[0]!r} is no subject: there are {', '.join(SUBJECTS)}")
    return [SUBJECTS[name] for name in names]


def with_workers(subjects: Iterable[Subject], workers: int) -> list[Subject]:
    """Return the subjects, where edge and agent of Towonel have so many workers."""
    ways = {subject.name: subject for subject in towonel_ways.ways(workers)}
    return [ways.get(subject.name, subject) for subject in subjects]


def version_of(subject: Subject) -> str:
    """Return the version that a subject's program tells."""
    command = (find(subject.version[0]) or "", *subject.version[1:])
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    words = (done.stdout + done.stderr).split()
    return next((word for word in words if re.search(r"^\D*\d+\.\d+", word)), "")
