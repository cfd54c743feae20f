"""Configuration file of an agent: settings by their names in lower case, as TOML or YAML.

It imports little at first, for a health check reads such a file every few seconds, where there is one.
"""

import os
import re
from collections.abc import Callable, Mapping
from typing import cast

from towonel.runtime.addresses import parse_address
from towonel.runtime.environment.values import is_given, normalize, read_file, read_values
from towonel.wire.addresses import HEALTH_LISTENERS

VARIABLE = "TOWONEL_AGENT_CONFIG"
_NOT_JSON = re.compile("is not JSON.*")
_JSON_OBJECT = re.compile(r'\{"[^}]*\}')  # of an example
_JSON_NAME = re.compile(r'"(\w+)": ')
_PREFIXES = ("TOWONEL_AGENT_", "TOWONEL_")


def read_config(path: str) -> Mapping[str, object]:
    """Return what a configuration file has, by name.

    Raises:
        ValueError: with the path, what is wrong, and the fix.
    """
    read = _READERS.get(os.path.splitext(path)[1].lower())  # noqa: PTH122 pathlib takes time
    if read is None:
        raise ValueError(f"{path} must end in {', '.join(_READERS)}, which says how it is read")
    try:
        found = read(read_file(path))
    except OSError as error:
        raise ValueError(f"cannot read {path}: {error.strerror}") from None
    except RecursionError:
        raise ValueError(f"{path} is nested too deeply") from None
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise ValueError(f"{path}: must have names of settings with values, as in group: home")  # noqa: TRY004 a mistake of a file
    return cast("dict[str, object]", found)


def name_setting(variable: str) -> str:
    """Return what a setting is called in the file: `services` for TOWONEL_AGENT_SERVICES."""
    for prefix in _PREFIXES:
        variable = variable.removeprefix(prefix)
    return variable.lower()


def write_value(value: object) -> str | None:
    """Return a value as its variable would have it; None for one that is not set."""
    if value is None or isinstance(value, str):
        return value
    import json  # noqa: PLC0415 no health check needs it

    return json.dumps(value, ensure_ascii=False, default=str)


def reword_json(line: str, path: str) -> str:
    """Return a line about a value that is JSON in its variable as one about what a configuration file has."""
    is_toml = path.endswith(".toml")
    line = _NOT_JSON.sub("must be a list", line.replace("a JSON array", "a list"))
    line = line.replace("an object", "a table" if is_toml else "a mapping")
    colon = " = " if is_toml else ": "
    return _JSON_OBJECT.sub(lambda found: _JSON_NAME.sub(rf"\1{colon}", found[0]), line)


def find_health_address() -> tuple[str, int] | None:
    """Return where the agent of this environment serves its health, if its configuration file says so.

    A file with mistakes says nothing: the agent itself says what they are.
    """
    variable, _ = HEALTH_LISTENERS["agent"]
    given = normalize(os.environ)  # noqa: TID251 a health check has no settings
    path = read_values([VARIABLE], given).values.get(VARIABLE)
    if path is None or is_given(variable, given):
        return None
    try:
        return parse_address(str(read_config(path)[name_setting(variable)]))
    except (KeyError, ValueError):
        return None


def _read_toml(text: str) -> object:
    import tomllib  # noqa: PLC0415 only where there is such a file

    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"is not TOML: {error}") from None


def _read_yaml(text: str) -> object:
    from towonel.agent.configuration.yaml_values import read_yaml  # noqa: PLC0415 slow to import

    return read_yaml(text)


_READERS: Mapping[str, Callable[[str], object]] = {
    ".toml": _read_toml,
    ".yaml": _read_yaml,
    ".yml": _read_yaml,
}
