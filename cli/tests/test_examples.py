"""Every example in help texts and documents does what it says, on a hub that has what it names."""

import asyncio
import contextlib
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

import pytest
import typer
from support.commands import towonel
from support.documents import blocks
from support.example_hub import KEY_ID, NODE, PROOF, SEED, TENANT, Served, served
from support.hub import OPERATOR_KEY, migrated
from support.ports import free_port
from support.reported_certificates import certificate, report_of
from typer.core import TyperGroup
from typer.testing import Result

from towonel.cli.app import app
from towonel.client.hub import HubClient
from towonel.hub.live.edge_reports import REFRESH_MS
from towonel.wire import base64url
from towonel.wire.tokens import InviteToken

ROOT = Path(__file__).parents[2]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
PASSPHRASE = "correct horse"
# These go on until they are told to end; what they do has tests of its own.
ENDLESS = re.compile(r"(?<!-)\b(serve|demo)\b|status --watch|audit tail|^towonel$")
OTHER_PROGRAMS = re.compile(r"towonel hub ")  # the hub's own: services/hub/tests/process
SERVE = (
    "TOWONEL_DATA_DIR=/var/lib/towonel TOWONEL_HUB_PUBLIC_URL=https://hub.example.eu:8443"
    " towonel serve"
)
CHECK = "TOWONEL_DATA_DIR=/var/lib/towonel towonel serve --check"
# Ports are free to be reserved once they are released; the tenant, its invite and logins go last.
LAST = (
    "release",
    "reserve",
    "suspend",
    "resume",
    "leave",
    "revoke",
    "remove",
    "logout --",
    "logout",
)


def examples_of(command: object) -> Iterator[str]:
    yield from (getattr(command, "epilog", None) or "").rpartition("Examples:")[2].splitlines()
    if isinstance(command, TyperGroup):
        for each in command.commands.values():
            yield from examples_of(each)


def lines_of(document: Path) -> Iterator[str]:
    lines = (line for block in blocks(document) for line in block.text.splitlines())
    yield from (line for line in lines if re.match(r"(\w+=\S+ )*towonel( |$)", line))


def without_comment(line: str) -> str:
    return re.sub(r"\s+# .*", "", line.strip())


HELP = {without_comment(line) for line in examples_of(typer.main.get_group(app))} - {""}
EVERY = HELP | {without_comment(line) for each in DOCUMENTS for line in lines_of(each)}
TYPED = {line for line in EVERY if not (ENDLESS.search(line) or OTHER_PROGRAMS.search(line))}


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    database = asyncio.run(migrated(tmp_path_factory.mktemp("hub") / "hub.db"))
    with served(database) as found:
        yield found


@pytest.fixture
def somebody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the files that examples name, and somebody who types a passphrase."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("typer.prompt", lambda *_, **__: PASSPHRASE)
    monkeypatch.setattr("towonel.cli.key_files._has_terminal", lambda: True)
    return tmp_path


def write_files(folder: Path, hub: Served) -> None:
    token = InviteToken(hub.url, b"*" * 16, b"*" * 32, SEED).encode()
    for path in folder.glob("*.key"):
        path.unlink()
    for name, content in {
        "home.key": SEED,
        "tenant.key": SEED,
        "key.txt": OPERATOR_KEY.encode(),
        "token.txt": token.encode(),
        "passphrase.txt": PASSPHRASE.encode(),
        "home.backup": exported(),
    }.items():
        (folder / name).write_bytes(content)
        (folder / name).chmod(0o600)


@cache
def exported() -> bytes:
    """The backup of the key, made once: to seal it is slow by design."""
    with tempfile.TemporaryDirectory() as name:
        key, passphrase = Path(name) / "home.key", Path(name) / "passphrase.txt"
        key.write_bytes(SEED)
        key.chmod(0o600)
        passphrase.write_text(PASSPHRASE)
        passphrase.chmod(0o600)
        files = ("--key-path", str(key), "--passphrase-file", str(passphrase))
        return towonel("tenant", "export-key", *files).stdout_bytes


def real(line: str, number: int, hub: Served) -> str:
    """A line with what this hub has for what the example names."""
    names = {
        r"https://hub\.example\.\w+(:8443)?": hub.url,
        "b7" * 32: TENANT.tenant_id.hex(),
        "(a1|e1)" * 32: NODE.public.hex(),
        "pJ4yYx1sT0mQ8aWv7c2d3g": PROOF.invite_id,
        "7GkX0yQmJ4s": base64url.encode(KEY_ID),
    }
    if "invite create" in line:
        names[r"example\.eu"] = f"x{number}.example.net"  # nobody has these yet
    for example, known in names.items():
        line = re.sub(example, known, line)
    return line


def redirect(line: str, folder: Path) -> tuple[str, str]:
    """The command in a line, and its standard input: of somebody who logs in, it is a key."""
    if " | " in line:
        return line.partition(" | ")[2], (folder / "home.backup").read_text()
    command, _, source = line.partition(" < ")
    return command.partition(" > ")[0], (folder / (source or "key.txt")).read_text()


@contextlib.contextmanager
def renewing(hub: Served) -> Iterator[None]:
    """An edge that has a certificate, and another one with each report."""
    begun, ended = threading.Event(), threading.Event()

    async def report() -> None:
        clock = hub.hub.clock
        async with HubClient(hub.url, now_ms=clock) as client:
            while not ended.is_set():
                clock.now_ms += REFRESH_MS
                made = certificate("app.example.eu", clock.now_ms, serial=f"{clock.now_ms:x}")
                await client.report_edge(NODE, report_of(made))
                begun.set()
                ended.wait(0.05)

    with ThreadPoolExecutor(1) as threads:
        running = threads.submit(lambda: asyncio.run(report()))
        begun.wait(20)
        try:
            yield
        finally:
            ended.set()
        running.result()


def typed(line: str, number: int, hub: Served, folder: Path) -> Result:
    """What comes of a line that somebody types."""
    write_files(folder, hub)
    if re.search("tenant (init|import-key|key-from-token)", line):
        for path in folder.glob("*.key"):
            path.unlink()  # they make one
    hub.hub.clock.now_ms = time.time_ns() // 1_000_000
    command, stdin = redirect(real(line, number, hub), folder)
    words = shlex.split(command)
    first = words.index("towonel")
    environ = dict(word.split("=", 1) for word in words[:first])
    environ |= {"TOWONEL_HUB_URL": hub.url, "TOWONEL_OPERATOR_KEY_FILE": "key.txt"}
    environ |= {"XDG_CONFIG_HOME": str(folder / "config"), "HOME": str(folder)}
    with renewing(hub) if " certificate" in line else contextlib.nullcontext():
        return towonel(*words[first + 1 :], stdin=stdin, **environ)


def order(line: str) -> tuple[int, bool, str]:
    """What takes things away comes after what shows them; logins before their use."""
    rank = next((LAST.index(word) + 1 for word in LAST if f" {word}" in line), 0)
    return rank, "login" not in line, line


def test_every_example_does_what_it_says(hub: Served, somebody: Path) -> None:
    results = {
        line: typed(line, number, hub, somebody)
        for number, line in enumerate(sorted(TYPED, key=order))
    }

    assert len(TYPED) > 75
    failed = {line: said.output for line, said in results.items() if said.exit_code}
    assert not failed, "\n".join(f"{line}\n    {output}" for line, output in failed.items())


def test_every_example_is_run_here_or_by_the_tests_of_what_goes_on_for_ever() -> None:
    assert {line for line in EVERY - TYPED if "towonel hub" not in line} == {
        SERVE,
        CHECK,
        "TOWONEL_HUB_ENABLED=false TOWONEL_EDGE_INVITE_TOKEN_FILE=token.txt towonel serve",
        "towonel audit tail",
        "towonel audit tail -n 0 --action invite.created --json",
        "towonel demo",
        "towonel demo --once",
        "towonel demo --port-base 20000",
        "towonel serve",
        "towonel status --watch",
    }


def test_the_example_of_a_check_reads_the_settings_of_both_and_makes_nothing(
    tmp_path: Path,
) -> None:
    ended = towonel("serve", "--check", TOWONEL_DATA_DIR=str(tmp_path))

    assert (ended.exit_code, ended.stdout) == (0, "the settings are complete and valid\n")
    assert not list(tmp_path.iterdir())


def test_the_example_of_serve_starts_a_hub_and_an_edge(tmp_path: Path) -> None:
    line = SERVE.replace("/var/lib/towonel", str(tmp_path))
    clean = {name: text for name, text in os.environ.items() if not name.startswith("TOWONEL_")}
    ports = {  # those of the example are not everybody's to take
        f"TOWONEL_{name}_LISTEN_ADDR": f"127.0.0.1:{free_port()}"
        for name in ("HUB", "HUB_HEALTH", "EDGE", "EDGE_HEALTH")
    }
    command = line.replace("towonel serve", f"exec {sys.executable} -m towonel.cli serve --json")
    started = set[str]()
    with subprocess.Popen(
        ("bash", "-c", command), env=clean | ports, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr
        for text in process.stderr:
            started.add(json.loads(text)["event"])
            if {"hub.started", "edge.started"} <= started:
                break
        process.send_signal(signal.SIGTERM)
        process.stderr.read()

    assert process.returncode == 0, started
