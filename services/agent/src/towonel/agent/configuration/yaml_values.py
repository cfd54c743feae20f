"""Values of a YAML document, as JSON has them: by the rules of YAML 1.2 `off` is a text, and no key occurs twice.

Of YAML's own it has no aliases, so that a short file is no long value, and few levels of nesting.
"""

import re
from collections.abc import Iterable
from typing import Final

import yaml

MAX_DEPTH: Final = 20
_LOADER: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # that of C is ten times as fast
_NULL: Final = re.compile(r"null|Null|NULL|~|")
_BOOL: Final = re.compile(r"(true|True|TRUE)|false|False|FALSE")
_INT: Final = re.compile(r"[-+]?[0-9]{1,18}", re.ASCII)
_FLOAT: Final = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?", re.ASCII)


def read_yaml(text: str) -> object:
    """Return the value of a document; None for an empty one.

    Raises:
        ValueError: with the line, and what is wrong there.
    """
    document = _Document()
    try:
        document.read(yaml.parse(text, _LOADER))
    except yaml.MarkedYAMLError as error:
        line = 1 if error.problem_mark is None else error.problem_mark.line + 1
        raise ValueError(f"is not YAML: {error.problem} (at line {line})") from None
    except yaml.YAMLError as error:
        raise ValueError(f"is not YAML: {' '.join(str(error).split())}") from None
    return document.value


class _Document:
    """Document, as its parts are read one after the other."""

    def __init__(self) -> None:
        self.value: object = None
        self._has_begun = False
        self._open: list[list[object] | dict[str, object]] = []  # the innermost last
        self._keys: list[str | None] = []  # of an open mapping, the one whose value is next

    def read(self, events: Iterable[yaml.Event]) -> None:
        """Read all of it."""
        for event in events:
            line = 1 if event.start_mark is None else event.start_mark.line + 1
            match event:
                case yaml.ScalarEvent(value=text, style=style):
                    self._add(text, text if style else _parse_plain(text), line)
                case yaml.SequenceStartEvent():
                    self._begin([], line)
                case yaml.MappingStartEvent():
                    self._begin({}, line)
                case yaml.SequenceEndEvent() | yaml.MappingEndEvent():
                    self._open.pop()
                    self._keys.pop()
                case _:
                    self._check(event, line)

    def _check(self, event: yaml.Event, line: int) -> None:
        """Refuse what JSON has not."""
        if isinstance(event, yaml.AliasEvent):
            raise _mistake("has an alias; write out what it stands for", line)
        if isinstance(event, yaml.DocumentStartEvent):
            if self._has_begun:
                raise _mistake("has a second document; leave one", line)
            self._has_begun = True

    def _begin(self, container: list[object] | dict[str, object], line: int) -> None:
        if len(self._open) == MAX_DEPTH:
            raise _mistake("is nested too deeply", line)
        self._add(None, container, line)
        self._open.append(container)
        self._keys.append(None)

    def _add(self, text: str | None, value: object, line: int) -> None:
        """Add a value, which may be the text of a key."""
        if not self._open:
            self.value = value
            return
        container, key = self._open[-1], self._keys[-1]
        if isinstance(container, list):
            container.append(value)
        elif key is not None:
            container[key], self._keys[-1] = value, None
        elif text is None:
            raise _mistake("has a name that is no text", line)
        else:
            if text in container:
                raise _mistake(f"{text} occurs twice in one place; leave one", line)
            self._keys[-1] = text


def _mistake(rule: str, line: int) -> ValueError:
    return ValueError(f"{rule} (at line {line})")


def _parse_plain(text: str) -> object:
    """Return what a text stands for that has no quotes."""
    if _NULL.fullmatch(text):
        return None
    if match := _BOOL.fullmatch(text):
        return match[1] is not None
    if _INT.fullmatch(text):
        return int(text)
    return float(text) if _FLOAT.fullmatch(text) else text
