"""Imports of the programs: what one does not need takes no memory in it, and a health check takes next to none."""

import subprocess
import sys

import pytest

UNUSED = {
    *("fastapi", "httpx._main", "multiprocessing", "opentelemetry", "redis", "rich", "sqlalchemy"),
    *("typer", "uvicorn.supervisors"),
}

SCRIPT = """
import contextlib, sys
from towonel.{name}.__main__ import main
with contextlib.suppress(SystemExit):
    main()
import towonel.{name}.app
print(*(name for name, module in sys.modules.items() if module))
"""


@pytest.mark.parametrize("name", ["edge", "agent"])
def test_a_program_imports_nothing_that_it_has_no_use_for(name: str) -> None:
    command = (sys.executable, "-c", SCRIPT.format(name=name), "--version")
    imported = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()

    assert "aioquic" in imported
    assert UNUSED & {*imported} == set()


# What a health check of a container may import of ours: it runs every few seconds beside a program at rest.
LIGHT = {
    "runtime.addresses",
    "runtime.environment.health_check",
    "runtime.environment.text",
    "runtime.environment.values",
    "runtime.exit_codes",
    "runtime.interrupts",
    "runtime.left_out",
    "wire.addresses",
}
OF_TWO = {"cli.__main__", "cli.serving.health", "wire.variables"}
# Of Python's own: each takes as long as all that is imported.
HEAVY = {
    "asyncio",
    "argparse",
    "dataclasses",
    "email",
    "http",
    "inspect",
    "json",
    "logging",
    "typing",
}
HEALTH_SCRIPT = """
import contextlib, sys
before = {{*sys.modules}}
from towonel.{name}.__main__ import main
with contextlib.suppress(SystemExit):
    main()
print(*sorted({{*sys.modules}} - before))
"""


def import_for_health(name: str, *arguments: str) -> set[str]:
    command = (sys.executable, "-c", HEALTH_SCRIPT.format(name=name), *arguments, "--health")
    environ = {"TOWONEL_HUB_HEALTH_LISTEN_ADDR": "127.0.0.1:1"}
    environ |= {
        name.replace("HUB", other): at
        for name, at in environ.items()
        for other in ("EDGE", "AGENT")
    }
    ended = subprocess.run(command, check=True, capture_output=True, text=True, env=environ)
    assert "nothing answers at 127.0.0.1:1: " in ended.stdout + ended.stderr
    return {*ended.stdout.splitlines()[-1].split()}


@pytest.mark.parametrize(
    ("name", "arguments"), [("hub", ()), ("edge", ()), ("agent", ()), ("cli", ("serve",))]
)
def test_a_health_check_imports_next_to_nothing(name: str, arguments: tuple[str, ...]) -> None:
    imported = import_for_health(name, *arguments)
    ours = {one.removeprefix("towonel.") for one in imported if one.startswith("towonel.")}
    packages = {path.rpartition(".")[0] for path in LIGHT | OF_TWO} | {
        "runtime",
        "wire",
        "cli",
        name,
    }

    assert "socket" in imported
    assert ours - LIGHT - OF_TWO - packages - {f"{name}.__main__"} == set()
    assert {one.partition(".")[0] for one in imported} & HEAVY == set()


@pytest.mark.parametrize("name", ["edge", "agent"])
def test_a_worker_reads_no_certificates_and_imports_nothing_for_it(name: str) -> None:
    script = f"import sys, towonel.{name}.worker.{'process' if name == 'edge' else 'worker'}\nprint(*sys.modules)"
    command = (sys.executable, "-c", script)
    imported = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()

    assert "ssl" in imported
    assert {"cryptography.x509", "logging", "asyncio"} & {*imported} == set()
