"""The registry of commands: whole, readable, and there before anything else is imported."""

import subprocess
import sys

import pytest
from support.commands import towonel

from towonel.cli.registry import COMMANDS, Commands

GROUPS = [name for name, spec in COMMANDS.items() if spec.is_group]
HEAVY = ("httpx", "structlog", "cryptography", "rich", "towonel.client.hub")
# Of no use to a command that asks a hub: for other programs, or for more than lines of text.
UNUSED = ("structlog", "cryptography", "rich.console", "pygments", "click", "yaml", "uvicorn")
SCRIPT = """
import sys
from towonel.cli.__main__ import main
try:
    main()
finally:
    {end}
"""
IMPORTED = SCRIPT.format(end="print(*sys.modules, file=sys.stderr)")
BUILT = SCRIPT.format(
    end="""
    from pydantic import BaseModel
    def find(model):
        for one in model.__subclasses__():
            yield one
            yield from find(one)
    from towonel.api.bodies import Request
    ours = {one for one in find(BaseModel) if one.__module__.startswith("towonel.")}
    ours -= {Request, *find(Request)}
    built = sorted(one.__name__ for one in ours if one.__pydantic_complete__)
    print(len(ours), *built, file=sys.stderr)"""
)


def run(script: str, *arguments: str) -> list[str]:
    """Words of the last line that a script with the command in it prints."""
    command = (sys.executable, "-c", script, *arguments)
    said = subprocess.run(command, capture_output=True, text=True, check=False)
    return said.stderr.splitlines()[-1].split()


@pytest.mark.parametrize("arguments", [("--help",), ("--version",), ("invit",)])
def test_what_needs_no_command_imports_none(arguments: tuple[str, ...]) -> None:
    imported = run(IMPORTED, *arguments)

    assert "towonel.cli.app" in imported
    assert {*HEAVY} & {*imported} == set()


ASKING = ("invite", "list", "--api-key", "key", "--hub-url", "http://127.0.0.1:1")


def test_what_asks_a_hub_imports_its_client_and_little_else() -> None:
    imported = run(IMPORTED, *ASKING)

    assert "towonel.cli.commands.invite.list" in imported
    assert {*UNUSED} & {*imported} == set()


def test_what_asks_a_hub_builds_only_the_models_that_it_reads() -> None:
    count, *built = run(BUILT, *ASKING)

    assert int(count) > 30
    assert built == ["CommandSettings", "Profiles"]


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
