import json
import os
import pty
import subprocess
import sys

import pytest
import typer

from towonel.cli import output
from towonel.cli.errors import UsageError, report_errors
from towonel.cli.options.choices import Format
from towonel.runtime.settings import SettingsError
from towonel.wire.errors import Code, Denied, ProtocolError, Unavailable


@pytest.mark.parametrize(
    ("error", "exit_code", "text"),
    [
        (UsageError("--x: no"), 2, "towonel: usage: --x: no\n"),
        (
            SettingsError(["A: x", "B: y"]),
            78,
            "bad_configuration: A: x\ntowonel: bad_configuration: B",
        ),
        (Denied(Code.NOT_FOUND, "gone"), 1, "towonel: not_found: gone\n"),
        (ProtocolError(Code.MALFORMED, "junk"), 1, "towonel: malformed: junk\n"),
        (Unavailable(Code.RATE_LIMITED, "slow"), 75, "towonel: rate_limited: slow\n"),
    ],
)
def test_each_kind_of_failure_has_its_exit_code(
    capsys: pytest.CaptureFixture[str], error: Exception, exit_code: int, text: str
) -> None:
    with pytest.raises(typer.Exit) as caught, report_errors(as_json=False):
        raise error

    assert caught.value.exit_code == exit_code
    assert text in capsys.readouterr().err


def test_a_failure_for_programs_is_one_document(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit), report_errors(as_json=True):
        raise SettingsError(["A: x", "B: y"])

    assert json.loads(capsys.readouterr().err) == {
        "error": {"code": "bad_configuration", "message": "A: x\nB: y"}
    }


def test_what_the_hub_tells_cannot_steer_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    output.print_fields([("name", "\x1b[2J[red]x")])
    output.print_table(["NAME"], [["\x1b[2J[red]x"]], empty="none")
    output.print_output(output.Output({}, "a\n  \x1b[2J[red]x" + "y" * 1000), Format.TABLE)

    displayed = capsys.readouterr().out
    assert "\x1b" not in displayed
    assert displayed.count("[2J[red]x") == 3
    assert displayed.endswith("a\n   [2J[red]x" + "y" * 1000 + "\n")


def test_json_tells_a_terminal_nothing_to_obey(capsys: pytest.CaptureFixture[str]) -> None:
    said = {"name": "\x1b[2J\x9b2J\x7f\u00e9"}
    output.print_json(said)

    written = capsys.readouterr().out
    assert json.loads(written) == said
    assert not {"\x1b", "\x9b", "\x7f"} & set(written)


@pytest.mark.parametrize("columns", ["20", "1000"])
def test_a_long_value_is_cut_nowhere(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, columns: str
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    output.print_table(["A", "B"], [["x" * 300, "y" * 300]], empty="none")

    assert "x" * 300 + "  " + "y" * 300 in capsys.readouterr().out


def test_columns_stand_under_each_other_and_lines_end_where_their_words_do(
    capsys: pytest.CaptureFixture[str],
) -> None:
    output.print_table(["NAME", "X"], [["日本", "1"], ["ä", ""]], empty="none")

    assert capsys.readouterr().out == "NAME  X\n日本  1\nä\n"


def test_no_rows_are_a_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    output.print_table(["A"], [], empty="There is none.")

    assert capsys.readouterr().out == "There is none.\n"


@pytest.mark.parametrize(
    ("ago_ms", "text"),
    [
        (-5, "0 s ago"),
        (119_999, "119 s ago"),
        (120_000, "2 min ago"),
        (7_200_000, "2 h ago"),
        (200_000_000, "2 d ago"),
    ],
)
def test_an_age_is_told_in_the_unit_that_reads_best(ago_ms: int, text: str) -> None:
    assert output.format_age(1_000_000_000 - ago_ms, 1_000_000_000) == text


def test_times_are_in_utc_and_none_is_never() -> None:
    assert output.format_time(0) == "1970-01-01 00:00 UTC"
    assert output.format_time(None) == "never"


@pytest.mark.parametrize("at_ms", [2**62, -(2**62), 2**63 - 1])
def test_a_time_that_no_calendar_has_is_shown_as_the_number_it_is(at_ms: int) -> None:
    assert str(at_ms) in output.format_time(at_ms)


MUTERS = ("NO_COLOR", "FORCE_COLOR")


SCREEN = """
from towonel.cli.output import Fields, Output, print_output
print_output(Output({}, Fields([("x", "y")])).as_screen(), "table")
"""


def on_a_terminal(**environ: str) -> bytes:
    """What a program of ours writes to a terminal."""
    ours, theirs = pty.openpty()
    clean = {name: value for name, value in os.environ.items() if name not in MUTERS}
    with os.fdopen(theirs, "wb") as terminal, os.fdopen(ours, "rb", buffering=0) as seen:
        subprocess.run(
            (sys.executable, "-c", SCREEN),
            env=clean | {"TERM": "xterm-256color"} | environ,
            stdout=terminal,
            check=True,
        )
        return seen.read(4096)


@pytest.mark.parametrize(
    ("environ", "written"),
    [
        ({}, b"\x1b[H\x1b[2J\x1b[1mx          \x1b[0my\r\n"),
        ({"NO_COLOR": ""}, b"\x1b[H\x1b[2J\x1b[1mx          \x1b[0my\r\n"),
        ({"NO_COLOR": "1"}, b"\x1b[H\x1b[2Jx          y\r\n"),
        ({"TERM": "dumb"}, b"x          y\r\n"),
    ],
)
def test_a_terminal_gets_bold_names_unless_told_otherwise(
    environ: dict[str, str], written: bytes
) -> None:
    assert on_a_terminal(**environ) == written


def test_only_a_terminal_gets_bold_headings_unless_asked_for(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    output.print_table(["A"], [["b"]], empty="none")
    monkeypatch.setenv("FORCE_COLOR", "1")
    output.print_table(["A"], [["b"]], empty="none")

    assert capsys.readouterr().out == "A\nb\n\x1b[1mA\x1b[0m\nb\n"


@pytest.mark.parametrize(
    ("form", "text"),
    [
        (Format.JSON, '{"name": "ä", "rows": [1]}\n'),
        (Format.YAML, "---\nname: ä\nrows:\n- 1\n"),
        (Format.TABLE, "name       ä\n\nA  B\n1  2\ndone\n"),
    ],
)
def test_a_result_is_printed_for_people_or_for_programs(
    capsys: pytest.CaptureFixture[str], form: Format, text: str
) -> None:
    fields, rows = output.Fields([("name", "ä")]), output.Rows(["A", "B"], [["1", "2"]], "none")
    document: dict[str, object] = {"name": "ä", "rows": [1]}
    output.print_output(output.Output(document, fields, "", rows, "done"), form)

    assert capsys.readouterr().out == text


def test_ctrl_c_ends_with_130(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit) as caught, report_errors(as_json=False):
        raise KeyboardInterrupt

    assert caught.value.exit_code == 130
    assert capsys.readouterr().err == ""
