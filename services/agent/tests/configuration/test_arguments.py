"""Command line of the agent: what flags name is read as variables are, and a mistake in them ends it with 2."""

import subprocess
import sys
from pathlib import Path

import pytest
from support.fork_server import CommandResult, run_command

from towonel.wire.tokens import InviteToken

TOKEN = InviteToken("https://hub.example.eu", bytes(16), b"S" * 32, b"K" * 32).encode()
BOUNDS = "idle for 60 s at most, 67108864 bytes without an answer at most"  # of a flow


def run_agent(folder: Path, *arguments: str, **environ: str) -> CommandResult:
    given = {"TOWONEL_INVITE_TOKEN": TOKEN} | environ
    return run_command(given, *arguments, folder=folder, program="agent")


def test_a_check_shows_all_services_and_starts_nothing(tmp_path: Path) -> None:
    flags = (
        "--hostname",
        "a.eu",
        "--to",
        "8443",
        "--proxy-protocol",
        "none",
        "--tcp",
        "2222:ssh:22",
        "--udp",
        "dns=auto:53",
    )
    ended = run_agent(tmp_path, *flags, "--check", TOWONEL_AGENT_GROUP="home")

    assert (ended.code, ended.stderr) == (0, "")
    assert ended.stdout.splitlines() == [
        "hub https://hub.example.eu, group home",
        "https:a.eu: origin 127.0.0.1:8443, without PROXY header",
        "tcp:tcp-2222, public port 2222: origin ssh:22, without PROXY header",
        f"udp:dns, public port auto: origin 127.0.0.1:53, {BOUNDS}",
        "the settings are complete and valid",
    ]


def test_a_check_reads_the_file_of_settings(tmp_path: Path) -> None:
    file = tmp_path / "agent.toml"
    file.write_text('tcp_services = [{name = "ssh", origin = "ssh", listen_port = 2222}]')
    ended = run_agent(tmp_path, "--check", TOWONEL_AGENT_CONFIG=str(file))

    assert ended.code == 78
    assert ended.stderr.startswith(f"{file}: tcp_services: [0] (ssh).origin: must be host:port")


def test_a_health_check_asks_where_the_file_of_settings_says(tmp_path: Path) -> None:
    file = tmp_path / "agent.toml"
    file.write_text('health_listen_addr = "127.0.0.1:1"')
    command = (sys.executable, "-m", "towonel.agent", "--health")
    environ = {"TOWONEL_AGENT_CONFIG": str(file)}
    alone = subprocess.run(command, check=False, capture_output=True, text=True, env=environ)
    beside = run_agent(tmp_path, "--health", **environ)

    for ended in (alone, beside):
        assert ended.stderr.startswith("nothing answers at 127.0.0.1:1: ")


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (
            ("--tcp", "22"),
            "--tcp 22: must be [NAME=]PUBLIC_PORT:[HOST:]PORT or [NAME=]FIRST-LAST[:HOST], as in 2222:22",
        ),
        (
            ("--udp", "53"),
            "--udp 53: must be [NAME=]PUBLIC_PORT:[HOST:]PORT or [NAME=]FIRST-LAST[:HOST], as in 5353:53",
        ),
        (("--hostname", "a.eu"), "--hostname: each goes with a --to"),
        (("--proxy-protocol", "v1"), "invalid choice: 'v1'"),
    ],
)
def test_a_wrong_flag_ends_the_agent_with_its_right_form(
    tmp_path: Path, arguments: tuple[str, ...], problem: str
) -> None:
    ended = run_agent(tmp_path, *arguments)

    assert ended.code == 2
    assert f"Error: {problem}" in ended.stderr.replace("argument --proxy-protocol: ", "")


def test_flags_and_the_variable_of_the_same_services_are_a_mistake(tmp_path: Path) -> None:
    ended = run_agent(tmp_path, "--tcp", "2222:22", TOWONEL_AGENT_TCP_SERVICES="[]")

    assert ended.code == 78
    assert "--tcp: TOWONEL_AGENT_TCP_SERVICES is set, too; use one of them" in ended.stderr


def test_help_shows_the_flags_with_examples(tmp_path: Path) -> None:
    shown = run_agent(tmp_path, "--help").stdout

    assert "  towonel-agent --hostname app.example.eu --to 8443\n" in shown
    assert "  towonel-agent --tcp ssh=2222:forgejo:22 --tcp auto:5432 --udp dns=5353:53\n" in shown
