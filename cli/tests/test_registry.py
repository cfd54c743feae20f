"""The registry of commands: whole, readable, and there before anything else is imported."""

import subprocess
import sys

import pytest
from support.commands import towonel

from towonel.cli.registry import COMMANDS, Commands

GROUPS = [name for name, spec in COMMANDS.items() if spec.is_group]
HEAVY = ("httpx", "structlog", "cryptography", "rich", "towonel.client.hub")
IMPORTED = f"""
import sys
from towonel.cli.__main__ import main
try:
    main()
finally:
    print([name for name in {HEAVY} if name in sys.modules], file=sys.stderr)
"""


@pytest.mark.parametrize("arguments", [("--help",), ("--version",), ("invit",)])
def test_what_needs_no_command_imports_none(arguments: tuple[str, ...]) -> None:
    command = (sys.executable, "-c", IMPORTED, *arguments)
    said = subprocess.run(command, capture_output=True, text=True, check=False)

    assert said.stderr.endswith("[]\n"), said.stderr


def test_every_name_is_a_command_and_only_the_plurals_are_hidden() -> None:
    commands = dict(Commands())

    assert {name for name, command in commands.items() if not command.hidden} == set(COMMANDS)
    assert len(commands) == len(Commands()) > len(COMMANDS)


@pytest.mark.parametrize("name", [None, *GROUPS])
def test_no_line_of_a_list_of_commands_is_cut(name: str | None) -> None:
    reported = towonel(*([] if name is None else [name]), "--help").stdout

    listed = reported.partition("Commands:\n")[2].partition("\n\n")[0].splitlines()
    assert len(listed) >= 1
    assert [line for line in listed if line.endswith("...") or not line.strip()] == []
