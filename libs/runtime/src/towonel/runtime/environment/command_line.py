"""Command line of a program that is configured by its environment: help, version, and a check."""

import argparse
import sys
from collections.abc import Callable, Iterable
from typing import NoReturn, override

from towonel.runtime.exit_codes import EXIT_OK, EXIT_SETTINGS, EXIT_USAGE
from towonel.runtime.settings import Settings, SettingsError, load


class UsageError(Exception):
    """Flag or argument that cannot be meant, or a file that it names and nobody can read; the text is for the user."""


class Parser(argparse.ArgumentParser):
    """Parser whose mistakes read as those of all our commands."""

    @override
    def error(self, message: str) -> NoReturn:
        usage = self.format_usage().removeprefix("usage: ")
        hint = f"Try '{self.prog} -h' for help."
        self.exit(EXIT_USAGE, f"Usage: {usage}{hint}\n\nError: {message}\n")


def make_parser(program: str, about: str, version: str) -> Parser:
    """Return a parser with the options of every program: `--help`, `--version`, `--check`, `--health`."""
    parser = Parser(prog=program, description=about, allow_abbrev=False)
    parser.add_argument("-V", "--version", action="version", version=f"{program} {version}")
    parser.add_argument(
        "--check",
        action="store_true",
        help="Read the settings, say what is wrong with them, and exit: 0, or 78.",
    )
    parser.add_argument(
        "--health",
        action="store_true",
        help="Ask the program that runs here with these settings whether it is ready, and exit: 0, or 1.",
    )
    return parser


def check_settings[S: Settings](
    cls: type[S],
    find_problems: Callable[[S], Iterable[str]] | None = None,
    *,
    read: Callable[[], S] | None = None,
    describe: Callable[[S], Iterable[str]] | None = None,
) -> int:
    """Say what is wrong with the settings, or worth a word, and return the exit code.

    Args:
        cls: the settings.
        find_problems: finds what is wrong with the files that they name; it makes none.
        read: reads the settings, where they come not from the environment alone.
        describe: returns lines about settings that are right.
    """
    try:
        settings = load(cls) if read is None else read()
    except SettingsError as error:
        return _report(error.problems)
    if find_problems is not None and (problems := list(find_problems(settings))):
        return _report(problems)
    for line in settings.warnings:
        print(f"warning: {line}", file=sys.stderr)  # noqa: T201
    for line in () if describe is None else describe(settings):
        print(line)  # noqa: T201
    print("the settings are complete and valid")  # noqa: T201
    return EXIT_OK


def _report(problems: list[str]) -> int:
    print("\n".join(problems), file=sys.stderr)  # noqa: T201 a command line prints
    return EXIT_SETTINGS
