"""Errors of commands: one message on standard error and an exit code, never a traceback.

0    done
1    refused, or failed
2    the command line is wrong, or a file that it names cannot be read
75   the hub does not answer now, or has limited your rate
78   the configuration is wrong: a variable, or a file that it names
130  ended by Ctrl-C
"""

import contextlib
import json
import os
import sys
from collections.abc import Generator
from pathlib import Path

import typer

from towonel.client.envelope import printable
from towonel.runtime.environment.command_line import (
    UsageError as UsageError,  # noqa: PLC0414 commands know it by this module
)
from towonel.runtime.exit_codes import (
    EXIT_FAILED,
    EXIT_INTERRUPTED,
    EXIT_SETTINGS,
    EXIT_UNAVAILABLE,
    EXIT_USAGE,
)
from towonel.runtime.interrupts import raise_at_interrupt
from towonel.runtime.settings import SettingsError
from towonel.wire.errors import TowonelError, Unavailable


@contextlib.contextmanager
def report_errors(*, as_json: bool) -> Generator[None]:
    """Turn an error inside into a message and an exit code."""
    try:
        raise_at_interrupt()
        yield
    except KeyboardInterrupt:
        raise typer.Exit(EXIT_INTERRUPTED) from None
    except UsageError as error:
        _exit("usage", [str(error)], EXIT_USAGE, as_json=as_json)
    except SettingsError as error:
        _exit("bad_configuration", error.problems, EXIT_SETTINGS, as_json=as_json)
    except TowonelError as error:
        exit_code = EXIT_UNAVAILABLE if isinstance(error, Unavailable) else EXIT_FAILED
        _exit(error.code.word, [error.detail], exit_code, as_json=as_json)


def report_usage(message: str) -> int:
    """Print a mistake in the command line as JSON, and return its exit code."""
    return _report("usage", [message], EXIT_USAGE, as_json=True)


def warn(text: str) -> None:
    """Print a line that does not belong to the result."""
    typer.echo(f"towonel: {printable(text)}", err=True)


def _exit(code: str, problems: list[str], exit_code: int, *, as_json: bool) -> None:
    raise typer.Exit(_report(code, problems, exit_code, as_json=as_json))


def _report(code: str, problems: list[str], exit_code: int, *, as_json: bool) -> int:
    if as_json:
        text = json.dumps({"error": {"code": code, "message": "\n".join(problems)}})
    else:
        text = "\n".join(f"towonel: {code}: {problem}" for problem in problems)
    try:
        print(text, file=sys.stderr)  # noqa: T201 the error is the output
    except OSError:  # the exit code tells it all the same, unless Python fails to write at its end
        sys.stderr = Path(os.devnull).open("w")  # noqa: SIM115 it lasts as long as the process
    return exit_code
