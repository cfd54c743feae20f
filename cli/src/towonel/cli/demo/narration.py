"""How the demo tells what it does: for people, or one line of JSON a step."""

import textwrap
from collections.abc import Sequence
from typing import Protocol

from rich.console import Console
from rich.text import Text

from towonel.cli.output import print_json

_INDENT = 3
_MAX_WIDTH = 100  # longer lines are hard to read
_NAME_WIDTH = 18

type Facts = Sequence[tuple[str, str]]


class Story(Protocol):
    """Is told step by step."""

    def opening(self) -> None: ...
    def step(self, title: str, text: str) -> None: ...
    def facts(self, facts: Facts) -> None: ...
    def invitation(self, curl: str, folder: str, *, stays: bool) -> None: ...
    def failed(self, title: str, reason: str, program: str | None, lines: list[str]) -> None: ...
    def closing(self) -> None: ...


class Told:
    """The story in sentences. Plain ASCII, so that any terminal and any file takes it."""

    def __init__(self) -> None:
        self._out = Console(highlight=False, markup=False, soft_wrap=True)
        self._steps = 0

    def opening(self) -> None:
        self._out.print(Text("Towonel: a service at home, on the public internet.", style="bold"))
        self._prose("All of it on this computer, for show: hub, edge, agent and the service.", 0)

    def step(self, title: str, text: str) -> None:
        self._steps += 1
        self._out.print()
        self._out.print(Text(f"{self._steps}. {title}", style="bold"))
        self._prose(text)

    def facts(self, facts: Facts) -> None:
        for name, value in facts:
            line = Text.assemble(" " * _INDENT, (f"{name:<{_NAME_WIDTH}}", "dim"), value)
            self._out.print(line)

    def invitation(self, curl: str, folder: str, *, stays: bool) -> None:
        if not stays:
            return
        self._out.print()
        self._out.print(Text("Try it from another terminal:", style="bold"))
        self._out.print(Text(f"   {curl}"))
        self._out.print()
        self._prose(f"Ctrl-C ends the demo and deletes {folder}.", 0)

    def failed(self, title: str, reason: str, program: str | None, lines: list[str]) -> None:
        self._out.print()
        self._out.print(Text(f"FAILED: {title}: {reason}", style="bold red"))
        if program is not None:
            self._out.print(f"   The last lines of {program}'s log:" if lines else "")
            for line in lines:
                self._out.print(Text(f"   | {line}"))

    def closing(self) -> None:
        self._out.print()
        self._out.print("Everything is stopped, and the folder is deleted.")

    def _prose(self, text: str, indent: int = _INDENT) -> None:
        width = min(self._out.width, _MAX_WIDTH) - 1
        margin = " " * indent
        filled = textwrap.fill(text, width, initial_indent=margin, subsequent_indent=margin)
        self._out.print(Text(filled))


class Recorded:
    """The story as JSON lines, for programs."""

    def opening(self) -> None:
        """Nothing has happened yet."""

    def step(self, title: str, text: str) -> None:
        print_json({"step": title, "text": text})

    def facts(self, facts: Facts) -> None:
        print_json({"facts": dict(facts)})

    def invitation(self, curl: str, folder: str, *, stays: bool) -> None:
        print_json({"ok": True, "curl": curl, "folder": folder, "stays": stays})

    def failed(self, title: str, reason: str, program: str | None, lines: list[str]) -> None:
        print_json({"ok": False, "step": title, "reason": reason, "program": program, "log": lines})

    def closing(self) -> None:
        print_json({"stopped": True})
