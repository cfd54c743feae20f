"""Shells ask `towonel` what may come next, and get it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.commands import towonel
from support.fork_server import run_command

REQUESTED = {
    "bash": lambda line: {
        "_TOWONEL_COMPLETE": "complete_bash",
        "COMP_WORDS": line,
        "COMP_CWORD": str(line.count(" ")),
    },
    "zsh": lambda line: {"_TOWONEL_COMPLETE": "complete_zsh", "_TYPER_COMPLETE_ARGS": line},
    "fish": lambda line: {
        "_TOWONEL_COMPLETE": "complete_fish",
        "_TYPER_COMPLETE_FISH_ACTION": "get-args",
        "_TYPER_COMPLETE_ARGS": line,
    },
}


def answered(folder: Path, shell: str, line: str) -> str:
    """What a shell is told that may stand at the end of a line."""
    environ = os.environ | REQUESTED[shell](line)
    ended = run_command(environ, folder=folder, program="cli")
    assert ended.code == 0, ended
    return ended.stdout


@pytest.mark.parametrize("shell", list(REQUESTED))
def test_a_script_names_the_command_in_the_shell_that_was_named(shell: str) -> None:
    said = towonel("--show-completion", shell)

    assert said.exit_code == 0
    assert f"_TOWONEL_COMPLETE=complete_{shell}" in said.stdout
    assert "towonel" in said.stdout.replace("_towonel", "")


def test_the_first_tab_of_a_zsh_is_answered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    said = towonel("--install-completion", "zsh")
    script = (tmp_path / ".zfunc" / "_towonel").read_text()

    assert said.exit_code == 0, said.output
    assert script == towonel("--show-completion", "zsh").stdout
    # zsh loads the file at the first Tab, and what runs then is the answer.
    assert "loadautofunc" in script.rpartition("compdef")[2]


@pytest.mark.parametrize("shell", list(REQUESTED))
def test_the_start_of_a_command_is_completed_to_the_singular(shell: str, tmp_path: Path) -> None:
    reported = answered(tmp_path, shell, "towonel ten")

    assert "tenant" in reported
    assert "tenants" not in reported.replace("Tenants", "")


def test_flags_and_what_they_may_be_are_completed(tmp_path: Path) -> None:
    assert answered(tmp_path, "bash", "towonel tenant list --st").split() == ["--status"]
    choices = answered(tmp_path, "bash", "towonel tenant list --status ").split()
    assert choices == ["active", "suspended", "revoked"]


def test_bash_completes_with_what_was_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    said = towonel("--install-completion", "bash")
    program = tmp_path / "towonel"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m towonel.cli "$@"\n')
    program.chmod(0o700)
    ask = (
        "PATH=$HOME:$PATH; . ~/.bashrc; COMP_WORDS=(towonel ten); COMP_CWORD=1;"
        " $(complete -p towonel | sed 's/.*-F \\([^ ]*\\).*/\\1/') towonel; echo $COMPREPLY"
    )
    completed = subprocess.run(
        ("bash", "-c", ask), capture_output=True, text=True, check=True, env=os.environ
    )

    assert said.exit_code == 0, said.output
    assert str(tmp_path) in said.stdout
    assert completed.stdout == "tenant\n"


@pytest.mark.parametrize("arguments", [("--show-completion",), ("--install-completion", "tcsh")])
def test_a_shell_that_is_not_named_or_not_known_is_a_usage_error(arguments: tuple[str]) -> None:
    assert towonel(*arguments).exit_code == 2


def test_the_help_tells_the_exit_codes() -> None:
    reported = towonel("--help").stdout

    for code in ("0 ", "1 ", "2 ", "75 ", "78 ", "130 "):
        assert f"\n    {code}" in reported
