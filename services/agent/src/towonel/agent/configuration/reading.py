"""Reading of an agent's settings: from its environment, flags that name services, and a file, as one."""

import difflib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from towonel.agent.configuration.config_file import (
    VARIABLE,
    name_setting,
    read_config,
    reword_json,
    write_value,
)
from towonel.agent.settings import AgentSettings
from towonel.runtime.environment.values import is_given, normalize, read_values
from towonel.runtime.settings import SettingsError, load, variables

type Values = Mapping[str, str]

_FLAGS: Final = {
    "TOWONEL_AGENT_SERVICES": "--hostname",
    "TOWONEL_AGENT_TCP_SERVICES": "--tcp",
    "TOWONEL_AGENT_UDP_SERVICES": "--udp",
}


@dataclass(frozen=True, slots=True)
class _File:
    """Configuration file: its path, its settings by variable, and what is wrong with others."""

    path: str = ""
    values: Values = field(default_factory=dict[str, str])
    problems: tuple[str, ...] = ()


def read_settings(flags: Values, environ: Values | None = None) -> AgentSettings:
    """Return the settings; a variable wins over the same setting of the file.

    Args:
        flags: services that flags name, as their variables would have them.
        environ: of the process, unless given.

    Raises:
        SettingsError: with every mistake there is, or of a file that cannot be read with that. A mistake of a flag
            or the file is named by its place there.
    """
    given = normalize(os.environ if environ is None else environ)  # noqa: TID251 to add to what is set there
    file = _read_file(given)
    # A flag whose variable is set, too, has a line of its own below, and no second one.
    used = {name: text for name, text in flags.items() if not is_given(name, given)}
    added = {name: value for name, value in file.values.items() if not is_given(name, given)}
    labels = {name: f"{file.path}: {name_setting(name)}" for name in added}
    labels |= {name: _FLAGS[name] for name in used}
    problems = [*file.problems, *_find_clashes(flags, given, file)]
    try:
        settings = load(AgentSettings, {**given, **added, **used})
    except SettingsError as error:
        problems += [_relabel(line, labels, file.path) for line in error.problems]
        raise SettingsError(problems) from None
    if problems:
        raise SettingsError(problems)
    return settings


def _read_file(environ: Values) -> _File:
    """Return the configuration file that an environment names, if it names one.

    Raises:
        SettingsError: it cannot be read.
    """
    path = read_values([VARIABLE], environ).values.get(VARIABLE)
    if path is None:
        return _File()  # what is wrong with the variable, `load` says
    known = {name_setting(each.name): each.name for each in variables(AgentSettings)}
    del known[name_setting(VARIABLE)]
    try:
        found = read_config(path)
    except ValueError as error:
        raise SettingsError([f"{VARIABLE}: {error}"]) from None
    texts = {name: write_value(value) for name, value in found.items()}
    values = {
        known[name]: text for name, text in texts.items() if name in known and text is not None
    }
    unknown = (f"{path}: {name}: {_advise(name, known)}" for name in found if name not in known)
    return _File(path, values, tuple(unknown))


def _advise(name: str, known: Mapping[str, str]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    fix = f"did you mean {near[0]}?" if near else f"there are {', '.join(sorted(known))}"
    return f"unknown setting; {fix}"


def _find_clashes(flags: Values, environ: Values, file: _File) -> Iterator[str]:
    """Yield flags whose services are given elsewhere, too: they add to nothing, and replace nothing."""
    for name in flags:
        if is_given(name, environ):
            yield f"{_FLAGS[name]}: {name} is set, too; use one of them"
        elif name in file.values:
            yield f"{_FLAGS[name]}: {file.path} has {name_setting(name)}, too; use one of them"


def _relabel(line: str, labels: Values, path: str) -> str:
    """Return a line about a variable as one about where its value came from, in the words of that."""
    for name, label in labels.items():
        if line.startswith((f"{name}:", f"{name}[")):
            found = label + line.removeprefix(name)
            return reword_json(found, path) if label.startswith(f"{path}: ") else found
    return line
