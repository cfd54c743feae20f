"""Whatever somebody types, and wherever its output goes: one line, an exit code, no traceback."""

import json
import os
import string
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import pytest
import typer
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.commands import CommandedHub, towonel
from typer.core import TyperGroup, TyperOption

from towonel.cli.app import app

NOWHERE = "http://127.0.0.1:1"  # where no hub is
LONG = "/" + "x" * 300  # no file system has such a name
KNOWN_ENDS = {0, 1, 2, 75, 78, 130}
PROGRAMS = {"serve", "demo", "hub"}  # they start others, or become another
ENDLESS = {"watch", "lines"}  # what follows a hub that is away goes on until Ctrl-C
URLS = [NOWHERE, "", "x", "http://hub.example.eu", "https://\udcff", "http://[::1]:99999"]

# What the kernel hands over as an argument: anything but NUL, and bytes that are no UTF-8.
words = st.one_of(
    st.sampled_from(["", "-", "--", "\udcff", "9" * 30, "-1", "1e400", "nan", "²", "b7" * 32]),
    st.sampled_from(["1h", "tcp:22", "never", "default", "x" * 10_000, "../x", "\x1b[2J", "\n"]),
    st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=6),
    st.text(st.characters(min_codepoint=0xDC80, max_codepoint=0xDCFF), max_size=3),
)
files = st.sampled_from([LONG, "/dev/null", "/dev/full", ".", "", "no/such/file", "here"])


def commands(group: TyperGroup, before: tuple[str, ...] = ()) -> Iterator[tuple[list[str], Any]]:
    for name, part in group.commands.items():
        if isinstance(part, TyperGroup):
            yield from commands(part, (*before, name))
        elif name not in PROGRAMS:
            yield [*before, name], part


COMMANDS = list(commands(typer.main.get_group(app)))


@st.composite
def lines(draw: st.DrawFn) -> list[str]:
    """A command, some of its flags and arguments with any values, and maybe something strange."""
    line, command = draw(st.sampled_from(COMMANDS))
    for one in command.params:
        if one.name in ENDLESS or not (one.required or draw(st.booleans())):
            continue
        is_flag = isinstance(one, TyperOption)
        found = [draw(st.sampled_from([*one.opts, *one.secondary_opts]))] if is_flag else []
        if not getattr(one, "is_flag", False):
            found.append(draw(values(one)))
        line = [*line, *found]
    return [*line, draw(words)] if draw(st.integers(0, 9)) == 0 else line


def values(one: Any) -> st.SearchStrategy[str]:
    if one.metavar == "URL":
        return st.sampled_from(URLS)
    if one.metavar == "FILE":
        return files
    kind = one.type_descriptor.annotation
    choices = [str(choice) for choice in (get_args(kind) if get_origin(kind) is Literal else ())]
    return st.one_of(st.sampled_from(choices), words) if choices else words


@pytest.fixture
def nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Somebody in an empty folder, on a machine without a hub."""
    monkeypatch.chdir(tmp_path)
    home, here = str(tmp_path / "home"), str(tmp_path)
    return {"XDG_CONFIG_HOME": home, "TOWONEL_DATA_DIR": here, "TOWONEL_HUB_URL": NOWHERE}


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(line=lines())
def test_no_line_ends_in_a_traceback(nobody: dict[str, str], line: list[str]) -> None:
    said = towonel(*line, TOWONEL_OPERATOR_KEY="key", **nobody)

    assert said.exception is None or isinstance(said.exception, SystemExit), said.exception
    assert said.exit_code in KNOWN_ENDS
    assert said.exit_code == 0 or said.stderr


@pytest.mark.parametrize(
    ("line", "reported"),
    [
        (("tenant", "list", "--name", "\udcff"), "name: is not UTF-8"),
        (("service", "show", "\udcff"), "key: is not UTF-8"),
        (("whoami", "--hub-url", "https://hub.example.eu/\udcff"), "hub-url: is not UTF-8"),
        (("profile", "use", "\udcff"), "name: is not UTF-8"),
        (("login", "https://[::1%\udcff]"), "url: is not UTF-8"),
    ],
)
def test_what_is_no_text_is_a_usage_error(
    nobody: dict[str, str], line: tuple[str, ...], reported: str
) -> None:
    said = towonel(*line, TOWONEL_OPERATOR_KEY="key", **nobody)

    assert said.exit_code == 2
    assert said.stderr == f"towonel: usage: {reported}\n"


@pytest.mark.parametrize(
    ("line", "reported"),
    [
        ("audit list --limit x", "'--limit' / '-n': must be a whole number."),
        ("demo --port-base 80", "'--port-base': must be at least 1024."),
        ("key create --role boss", "'boss' is not one of 'admin', 'operator', 'viewer'."),
        ("invite list --status used", "is not one of 'pending', 'revoked'; --state takes it."),
    ],
)
def test_a_value_that_a_flag_does_not_take_gets_the_rule(line: str, reported: str) -> None:
    plain, as_json = towonel(*line.split()), towonel(*line.split(), "--json")

    assert (plain.exit_code, as_json.exit_code) == (2, 2)
    for said in (plain, as_json):
        assert reported in said.stderr
        assert "Value error" not in said.stderr


def test_help_has_a_help() -> None:
    assert towonel("help", "help").stdout == towonel("help").stdout == towonel("--help").stdout


@pytest.mark.parametrize(
    ("variable", "value", "named"),
    [
        ("TOWONEL_DATA_DIR", LONG, "operator.key"),
        ("TOWONEL_HUB_OPERATOR_API_KEY_PATH", "/dev/null", "/dev/null"),
        ("TOWONEL_OPERATOR_KEY_FILE", LONG, "TOWONEL_OPERATOR_KEY_FILE"),
        ("XDG_CONFIG_HOME", LONG, "profiles.json"),
        ("TOWONEL_HUB_URL", "https://hub.example.eu/\udcff", "TOWONEL_HUB_URL"),
        ("TOWONEL_HUB_LISTEN_ADDR", "\udcff:1", "TOWONEL_HUB_LISTEN_ADDR"),
        ("TOWONEL_ALLOW_INSECURE_HUB", "perhaps", "TOWONEL_ALLOW_INSECURE_HUB"),
    ],
)
def test_what_cannot_be_read_is_named_and_is_bad_configuration(
    nobody: dict[str, str], variable: str, value: str, named: str
) -> None:
    wanted = {**nobody, variable: value}
    if variable == "TOWONEL_HUB_LISTEN_ADDR":
        wanted["TOWONEL_HUB_URL"] = ""
    said = towonel("status", **wanted)

    assert said.exit_code == 78
    assert said.stderr.startswith("towonel: bad_configuration: ")
    assert named in said.stderr
    assert said.stderr.count("\n") == 1


@pytest.mark.parametrize("home", ["/dev/null", "/proc"])
def test_a_home_that_takes_no_file_is_told_when_a_login_is_kept(
    hub: CommandedHub, home: str
) -> None:
    login = ("login", hub.url, "--key-file", "-")
    said = towonel(*login, stdin=hub.key, XDG_CONFIG_HOME=home)

    assert said.exit_code == 78, said.output
    assert "profiles.json" in said.stderr


def ran(line: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """What a shell says of a line in which `towonel` is the command."""
    command = f"{sys.executable} -m towonel.cli"
    clean = {name: text for name, text in os.environ.items() if not name.startswith("TOWONEL_")}
    apart = {"XDG_CONFIG_HOME": "/nowhere", "TOWONEL_HUB_URL": NOWHERE}
    return subprocess.run(
        ("bash", "-c", string.Template(line).safe_substitute(towonel=command)),
        env=clean | apart | environ,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("line", ["$towonel --help", "$towonel profile list -o json"])
def test_a_full_disk_is_told_in_a_line(line: str) -> None:
    said = ran(f"{line} > /dev/full")

    assert said.returncode == 1
    assert said.stderr == "towonel: failed: No space left on device\n"


def test_a_reader_that_had_enough_ends_it_quietly(hub: CommandedHub) -> None:
    line = "$towonel status --watch --every 0.5 | head -n 1; exit ${PIPESTATUS[0]}"
    said = ran(line, **hub.environ)

    assert said.returncode == 1
    assert said.stderr == ""
    assert said.stdout.split() == ["hub", hub.url, "is", "up"]


def test_the_exit_code_holds_where_nobody_can_be_told() -> None:
    assert ran("$towonel whoami 2> /dev/full").returncode == 78
    assert ran("$towonel whoami 2>&- >&-").returncode == 78


def test_a_file_whose_name_is_no_text_is_written_and_shown(tmp_path: Path) -> None:
    line = f"cd {tmp_path}; $towonel agent init --json --key-path $$'\\xff.key'"
    said = ran(line, LC_ALL="C.UTF-8")

    assert said.returncode == 0, said.stderr
    assert json.loads(said.stdout)["key_path"] == "\udcff.key"
    assert (tmp_path / "\udcff.key").exists()
