"""Starts of hub, edge and agent that cannot succeed: exit 78, and what to do about each mistake."""

import os
import re
import socket
from collections.abc import Mapping
from pathlib import Path

import pytest
from support.boot import EDGE_INVITE, INVITE
from support.fork_server import CommandResult, run_command
from support.ports import free_port

pytestmark = pytest.mark.processes

NAMES = ("hub", "edge", "agent")
GOOD = {
    "hub": {"TOWONEL_HUB_PUBLIC_URL": "https://hub.example.eu:8443"},
    "edge": {"TOWONEL_EDGE_INVITE_TOKEN": EDGE_INVITE},
    "agent": {
        "TOWONEL_INVITE_TOKEN": INVITE,
        "TOWONEL_AGENT_SERVICES": '[{"hostname": "app.example.eu", "origin": "127.0.0.1:4443"}]',
    },
}
WRONG = {
    "TOWONEL_DATADIR": "/data",
    "TOWONEL_IROH_RELAY_URLS": "https://relay.example.eu",
    "TOWONEL_LOG_LEVEL": "loud",
    "TOWONEL_INVITE_TOKEN": "tt_inv_2_x",
    "TOWONEL_AGENT_SERVICES": '[{"hostname": "app.example.eu"}]',
    "TOWONEL_EDGE_INVITE_TOKEN": "tt_edge_2_x",
    "TOWONEL_EDGE_MAX_INFLIGHT_CONNECTIONS": "many",
    "TOWONEL_HUB_PUBLIC_URL": "https://hub.example.eu:99999",
    "TOWONEL_HUB_DB_DSN": ":memory:",
}


NOT_COMPILED = """
import sys
from importlib import import_module

sys.modules["towonel.relay.hop._compiled"] = None
import_module("towonel.{name}.cli").main()
"""


@pytest.fixture(params=NAMES)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def run(name: str, folder: Path, environ: Mapping[str, str], *arguments: str) -> CommandResult:
    return run_command(environ, *arguments, folder=folder, program=name)


def variables(ended: CommandResult) -> list[str]:
    """The variables that its lines name; it ended as settings that are wrong end a program."""
    assert ended.code == 78, ended
    assert "Traceback" not in ended.stderr
    return [re.split(r"[:\[]", line)[0] for line in ended.stderr.splitlines()]


def test_help_and_version_start_nothing(name: str, tmp_path: Path) -> None:
    helped, told = run(name, tmp_path, {}, "--help"), run(name, tmp_path, {}, "--version")
    refused = run(name, tmp_path, {}, "--chekc")

    assert (helped.code, told.code, refused.code) == (0, 0, 2)
    assert "--check" in helped.stdout
    assert re.fullmatch(rf"towonel-{name} \d+\.\d+\.\d+\n", told.stdout)
    assert "Error: unrecognized arguments: --chekc" in refused.stderr
    assert {path.name for path in tmp_path.iterdir()} == {"stdout", "stderr"}


def test_the_health_of_a_program_that_does_not_run_is_said(name: str, tmp_path: Path) -> None:
    variable, port = f"TOWONEL_{name.upper()}_HEALTH_LISTEN_ADDR", free_port()
    ended = run(name, tmp_path, GOOD[name] | {variable: f"127.0.0.1:{port}"}, "--health")

    assert (ended.code, ended.stdout) == (1, "")
    assert ended.stderr.startswith(f"nothing answers at 127.0.0.1:{port}: ")


def test_a_check_of_good_settings_starts_and_makes_nothing(name: str, tmp_path: Path) -> None:
    ended = run(name, tmp_path, GOOD[name], "--check")

    assert (ended.code, ended.stderr) == (0, "")
    assert ended.stdout.endswith("the settings are complete and valid\n")
    assert {path.name for path in tmp_path.iterdir()} == {"stdout", "stderr"}


@pytest.mark.parametrize("arguments", [(), ("--check",)])
def test_all_mistakes_are_named_at_once(
    name: str, arguments: tuple[str, ...], tmp_path: Path
) -> None:
    own = {"hub": "TOWONEL_HUB_", "edge": "TOWONEL_EDGE_", "agent": "TOWONEL_(AGENT_|INVITE)"}[name]
    found = variables(run(name, tmp_path, WRONG, *arguments))

    assert set(found) >= {one for one in WRONG if re.match(own, one)}
    assert {"TOWONEL_DATADIR", "TOWONEL_IROH_RELAY_URLS", "TOWONEL_LOG_LEVEL"} <= set(found)
    assert {path.name for path in tmp_path.iterdir()} == {"stdout", "stderr"}


def test_what_an_unknown_variable_should_be_is_said(tmp_path: Path) -> None:
    lines = run("agent", tmp_path, WRONG).stderr.splitlines()

    assert "TOWONEL_DATADIR: unknown variable; did you mean TOWONEL_DATA_DIR?" in lines
    assert any(
        line.startswith("TOWONEL_IROH_RELAY_URLS: is not read; there are no relays")
        for line in lines
    )


@pytest.mark.parametrize("name", ["edge", "agent"])
@pytest.mark.parametrize("arguments", [(), ("--check",)])
def test_a_file_of_authorities_that_does_not_exist_is_named(
    name: str, arguments: tuple[str, ...], tmp_path: Path
) -> None:
    environ = {**GOOD[name], "SSL_CERT_FILE": str(tmp_path / "ca.pem")}

    assert variables(run(name, tmp_path, environ, *arguments)) == ["SSL_CERT_FILE"]


@pytest.mark.parametrize("name", ["edge", "agent"])
@pytest.mark.parametrize("arguments", [(), ("--check",)])
def test_an_engine_that_was_not_compiled_is_named(
    name: str, arguments: tuple[str, ...], tmp_path: Path
) -> None:
    script = tmp_path / "program.py"
    script.write_text(NOT_COMPILED.format(name=name))
    environ = {**GOOD[name], "TOWONEL_RELAY_ENGINE": "compiled"}
    ended = run(str(script), tmp_path, environ, *arguments)

    assert variables(ended) == ["TOWONEL_RELAY_ENGINE"]
    assert "must be auto or python here" in ended.stderr
    assert "install a C compiler" in ended.stderr


@pytest.mark.parametrize("arguments", [(), ("--check",)])
def test_every_key_file_that_cannot_be_used_is_named(
    arguments: tuple[str, ...], tmp_path: Path
) -> None:
    (tmp_path / "node.key").write_bytes(bytes(100_000))
    (tmp_path / "operator.key").write_bytes(b"x")
    (tmp_path / "invite_hash.key").mkdir()
    (tmp_path / "operator.key").chmod(0o644)
    ports = {
        f"TOWONEL_HUB_{kind}LISTEN_ADDR": f"127.0.0.1:{free_port()}" for kind in ("", "HEALTH_")
    }
    ended = run("hub", tmp_path, ports | {"TOWONEL_DATA_DIR": str(tmp_path)}, *arguments)

    assert variables(ended) == ["TOWONEL_DATA_DIR"] * 3
    names = ("node.key", "operator.key", "invite_hash.key")
    for line, name in zip(ended.stderr.splitlines(), names, strict=True):
        assert f"/{name}: " in line
    assert "chmod 600" in ended.stderr


@pytest.mark.parametrize("arguments", [(), ("--check",)])
@pytest.mark.parametrize("content", [b"short", bytes(100_000)])
def test_the_key_of_an_edge_is_named_by_its_variable(
    content: bytes, arguments: tuple[str, ...], tmp_path: Path
) -> None:
    (tmp_path / "node.key").write_bytes(content)
    (tmp_path / "node.key").chmod(0o600)

    environ = {"TOWONEL_DATA_DIR": str(tmp_path)}
    assert variables(run("edge", tmp_path, environ, *arguments)) == ["TOWONEL_DATA_DIR"]


@pytest.mark.parametrize(
    ("name", "variable", "kind"),
    [
        ("hub", "TOWONEL_HUB_LISTEN_ADDR", socket.SOCK_STREAM),
        ("hub", "TOWONEL_HUB_HEALTH_LISTEN_ADDR", socket.SOCK_STREAM),
        ("edge", "TOWONEL_EDGE_LISTEN_ADDR", socket.SOCK_STREAM),
        ("edge", "TOWONEL_EDGE_SESSION_LISTEN_ADDR", socket.SOCK_DGRAM),
        ("edge", "TOWONEL_EDGE_HEALTH_LISTEN_ADDR", socket.SOCK_STREAM),
        ("agent", "TOWONEL_AGENT_HEALTH_LISTEN_ADDR", socket.SOCK_STREAM),
    ],
)
def test_a_port_in_use_is_named_with_its_variable_and_a_free_one(
    name: str, variable: str, kind: socket.SocketKind, tmp_path: Path
) -> None:
    addresses = ("LISTEN_ADDR", "HEALTH_LISTEN_ADDR", "SESSION_LISTEN_ADDR")
    own = {f"TOWONEL_{name.upper()}_{end}": f"127.0.0.1:{free_port()}" for end in addresses}
    if name != "edge":
        own.pop(f"TOWONEL_{name.upper()}_SESSION_LISTEN_ADDR")
    if name == "agent":
        own.pop("TOWONEL_AGENT_LISTEN_ADDR")
    with socket.socket(socket.AF_INET, kind) as taken:
        taken.bind(("127.0.0.1", int(own[variable].rpartition(":")[2])))
        if kind is socket.SOCK_STREAM:
            taken.listen()
        ended = run(name, tmp_path, {**os.environ, **GOOD[name], **own})

    assert ended.code == 78, ended
    lines = [line for line in ended.stderr.splitlines() if line.startswith("TOWONEL_")]
    assert len(lines) == 1
    start = f"{variable}: cannot listen on {own[variable]}: Address already in use; port "
    assert re.fullmatch(rf"{start}\d+ is free: {variable}=127\.0\.0\.1:\d+", lines[0])
