"""Values of variables: given in the environment, or in a file that `<NAME>_FILE` names.

It imports nothing that takes time, for a health check runs every few seconds.
"""

import os
from collections.abc import Iterable, Mapping

from towonel.runtime.environment.text import clean, decode, find_unusable

FILE_SUFFIX = "_FILE"
MAX_FILE_BYTES = 8 * 1024 * 1024  # a thousand declared ids with their keys take three
_BOM = "\ufeff"


class Reading:
    """Values of some variables, by name; what is wrong with others, and what is only unusual.

    A problem and a warning begin with the name of their variable and a colon. Files are all that were
    read, or were to be; places are those that values came from, by variable, as messages name them.
    """

    def __init__(self) -> None:
        self.values: dict[str, str] = {}
        self.problems: list[str] = []
        self.warnings: list[str] = []
        self.files: list[str] = []
        self.places: dict[str, str] = {}

    def name_file(self, problem: str) -> str:
        """Return a line about a variable with the file that its value came from, if it did."""
        name = problem.partition(":")[0].partition("[")[0]
        place = self.places.get(name)
        return (
            problem if place is None else f"{problem} (in {place}, which {name}{FILE_SUFFIX} names)"
        )


def normalize(environ: Mapping[str, str]) -> dict[str, str]:
    """Return an environment without byte order marks, which a file of variables may begin with."""
    marked = {name: value for name, value in environ.items() if name.startswith(_BOM)}
    return {name.lstrip(_BOM): value for name, value in marked.items()} | {
        name: value for name, value in environ.items() if name not in marked
    }


def read_values(names: Iterable[str], environ: Mapping[str, str]) -> Reading:
    """Read variables, each from the environment or its file; one that is empty is not set."""
    reading = Reading()
    for name in names:
        value = _read_value(name, environ, reading)
        problem = None if value is None else find_unusable(value)
        if problem is not None:
            reading.problems.append(reading.name_file(f"{name}: {problem}; remove it"))
        elif value is not None:
            reading.values[name] = value
    return reading


def is_given(name: str, environ: Mapping[str, str]) -> bool:
    """Return whether an environment has a variable, or its file; one that is empty is not set."""
    return any(clean(environ.get(each, "")) for each in (name, name + FILE_SUFFIX))


def read_file(path: str) -> str:
    """Return the text of a file.

    Raises:
        OSError: it cannot be read.
        ValueError: it is too large, or not text.
    """
    with open(path, "rb", opener=open_at_once) as file:
        os.set_blocking(file.fileno(), True)
        data = file.read(MAX_FILE_BYTES + 1)
    if len(data) > MAX_FILE_BYTES:
        raise ValueError(f"is too large: at most {MAX_FILE_BYTES // 2**20} MiB are read")
    return decode(data)


def open_at_once(path: str, flags: int) -> int:
    """Open a file; a pipe that nobody writes to is empty, instead of a start that never ends."""
    return os.open(path, flags | os.O_NONBLOCK)


def _read_value(name: str, environ: Mapping[str, str], reading: Reading) -> str | None:
    value = clean(environ.get(name, ""))
    path = clean(environ.get(name + FILE_SUFFIX, ""))
    if path and value:
        reading.problems.append(f"{name}: set it or {name}{FILE_SUFFIX}, not both")
        return None
    return _read_from_file(name, path, reading) if path else value or None


def _read_from_file(name: str, path: str, reading: Reading) -> str | None:
    variable, place = name + FILE_SUFFIX, _describe_path(path)
    reading.files.append(path)
    try:
        value = clean(read_file(path))
    except OSError as error:
        reading.problems.append(
            f"{variable}: cannot read {place}: {error.strerror}; it takes the path of a file with the"
            f" value, {name} the value itself"
        )
        return None
    except ValueError as error:
        reading.problems.append(f"{variable}: {place} {error}")
        return None
    if not value:
        reading.warnings.append(f"{variable}: {place} is empty, which counts as not set")
        return None
    reading.places[name] = place
    return value


def _describe_path(path: str) -> str:
    """Return a path for a message; what may be a secret put in the path's place is not shown."""
    return path if "/" in path and "://" not in path else "the file"
