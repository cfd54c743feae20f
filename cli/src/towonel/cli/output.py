"""Output of commands: tables and fields for people, JSON and YAML for programs."""

import json
import re
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import assert_never

import typer
from pydantic import BaseModel
from rich.cells import cell_len, set_cell_size

from towonel.cli.options.choices import Format
from towonel.cli.settings import is_bold_wanted, is_dumb_terminal
from towonel.client.envelope import printable, visible

_CONTROLS = re.compile("[\x7f-\x9f]")  # JSON leaves these as they are; terminals obey them
_CLEAR = "\x1b[H\x1b[2J"
_FIELD_WIDTH = 11  # of names, so that what belongs together stands under each other


@dataclass(frozen=True, slots=True)
class Fields:
    """Names and values, in two columns."""

    values: Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Rows:
    """Table, or the sentence `empty` without rows."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    empty: str


type Block = Fields | Rows | str


class Output:
    """Output of a command: `document` for programs, `blocks` for people.

    Args:
        document: a model, or what JSON can hold.
        blocks: printed one after the other; a string is a line of its own.
    """

    def __init__(self, document: BaseModel | dict[str, object], *blocks: Block) -> None:
        self.document: dict[str, object] = (
            document.model_dump(mode="json") if isinstance(document, BaseModel) else document
        )
        self.blocks = blocks
        self.is_screen = False

    def as_screen(self) -> "Output":
        """Clear the terminal before it is printed."""
        self.is_screen = True
        return self


def token_blocks(program: str, variable: str, token: str) -> tuple[Block, ...]:
    """Return a new token for people: as the variable of a program, and alone, on the last line."""
    caption = f"\nThe token, shown this once, for the environment of the {program}:"
    return caption, f"{variable}={token}", "\nThe same without the variable's name:", token


def print_output(output: Output, form: Format) -> None:
    """Print the result of a command."""
    match form:
        case Format.JSON:
            print_json(output.document)
        case Format.YAML:
            import yaml  # noqa: PLC0415 seldom asked, and slow to import

            text = yaml.safe_dump(
                output.document, sort_keys=False, allow_unicode=True, explicit_start=True
            )
            print(text, end="", flush=True)  # noqa: T201 this is the output
        case Format.TABLE:
            if output.is_screen:
                # Which is left out where there is no terminal.
                typer.echo(_CLEAR, nl=False, color=False if is_dumb_terminal() else None)
            for block in output.blocks:
                _print_block(block)
        case _:
            assert_never(form)


def _print_block(block: Block) -> None:
    match block:
        case Fields(values):
            print_fields(values)
        case Rows(columns, rows, empty):
            print_table(columns, rows, empty=empty)
        case str():
            typer.echo("\n".join(map(visible, block.split("\n"))))
        case _:
            assert_never(block)


def now() -> datetime:
    """Return the time of this machine, in UTC."""
    return datetime.fromtimestamp(time.time_ns() / 1e9, UTC)


def print_json(value: object) -> None:
    """Print one JSON document on a line of its own."""
    text = _CONTROLS.sub(_escape, json.dumps(value, ensure_ascii=False))
    print(text, flush=True)  # noqa: T201 this is the output


def _escape(control: re.Match[str]) -> str:
    return f"\\u{ord(control[0]):04x}"


def print_fields(fields: Iterable[tuple[str, str]]) -> None:
    """Print names and values in two columns."""
    fields = list(fields)
    width = max((len(name) for name, _ in fields), default=0) + 1
    for name, value in fields:
        _print_line(name.ljust(max(_FIELD_WIDTH, width)), printable(value))


def print_table(columns: Sequence[str], rows: Iterable[Sequence[str]], *, empty: str) -> None:
    """Print rows under headings, or the sentence `empty` without rows.

    Nothing is cut or folded: an id must be found in one piece, to be copied and to be searched for.
    """
    lines = [tuple(map(printable, row)) for row in rows]
    if not lines:
        _print_line("", empty)
        return
    widths = [max(map(cell_len, column)) for column in zip(columns, *lines, strict=True)]
    _print_line(_align(columns, widths), "")
    for line in lines:
        _print_line("", _align(line, widths))


def _align(line: Sequence[str], widths: Sequence[int]) -> str:
    cells = (set_cell_size(cell, width) for cell, width in zip(line, widths, strict=True))
    return "  ".join(cells).rstrip()


def _print_line(bold: str, plain: str) -> None:
    """Print a line whose first part is bold, where that is wanted."""
    heading = typer.style(bold, bold=True) if bold else ""
    typer.echo(heading + plain, color=is_bold_wanted())


def format_time(at: datetime | int | None) -> str:
    """Format a time (an int is Unix ms) in UTC; `never` for None."""
    if at is None:
        return "never"
    try:
        moment = (
            datetime.fromtimestamp(at / 1000, UTC) if isinstance(at, int) else at.astimezone(UTC)
        )
    except (ValueError, OverflowError):  # a tenant may sign any number as a time
        return f"beyond all calendars ({at})"
    return moment.strftime("%Y-%m-%d %H:%M UTC")


def format_age(then_ms: int, now_ms: int) -> str:
    """Format how long ago a time was, in the unit that reads best."""
    seconds = max(0, now_ms - then_ms) // 1000
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds // size} {unit} ago"
    return f"{seconds} s ago"
