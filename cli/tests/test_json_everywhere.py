"""Programs that ask for JSON get JSON, wherever they ask, and of mistakes, too."""

import json

import pytest
from support.commands import CommandedHub, towonel

WRONG = [
    ("nonsense", "No such command 'nonsense'"),
    ("invite nonsense", "No such command 'nonsense'"),
    ("invite create", "Missing option '--hostnames'"),
    ("invite list --frobnicate", "No such option"),
    ("port available --protocol sctp", "--protocol"),
    ("service show", "Missing argument"),
    ("invite create --hostnames ''", "--hostnames"),
]


@pytest.mark.parametrize("ask", ["--json {}", "{} --json", "{} -o json", "{} --output=yaml"])
@pytest.mark.parametrize(("line", "reported"), WRONG)
def test_a_mistake_is_one_document_on_standard_error(ask: str, line: str, reported: str) -> None:
    said = towonel(*ask.format(line).split(), TOWONEL_OPERATOR_KEY="k")

    error = json.loads(said.stderr)["error"]
    assert (said.exit_code, said.stdout, error["code"]) == (2, "", "usage")
    assert reported in error["message"] or "No such option" in error["message"]


def test_a_mistake_is_a_text_for_people(hub: CommandedHub) -> None:
    said = towonel("invite", "create", "--", "--json")

    assert said.exit_code == 2
    assert said.stderr.startswith("Usage: ")


@pytest.mark.parametrize("line", ["status", "invite list", "profile list", "whoami"])
def test_the_flag_counts_before_a_command_as_after_it(hub: CommandedHub, line: str) -> None:
    before, after = hub.run("--json", *line.split()), hub.run(*line.split(), "--json")

    assert before.exit_code == 0, before.output
    assert json.loads(before.stdout) == json.loads(after.stdout)


def test_a_refusal_before_a_command_is_json_too(hub: CommandedHub) -> None:
    said = hub.run("--json", "invite", "show", "--id", "pJ4yYx1sT0mQ8aWv7c2d3g")

    assert said.exit_code == 1
    assert json.loads(said.stderr)["error"]["code"] == "not_found"


def test_the_version_has_the_originals_flag_and_is_json_for_programs() -> None:
    assert towonel("-V").stdout == towonel("--version").stdout
    assert json.loads(towonel("--json", "-V").stdout) == {"version": towonel("-V").stdout.strip()}


@pytest.mark.parametrize("line", ["", "invite", "invite create", "status"])
def test_help_is_a_command_as_in_the_original(line: str) -> None:
    asked, flag = towonel("help", *line.split()), towonel(*line.split(), "--help")

    assert asked.exit_code == 0
    assert asked.stdout == flag.stdout
