"""Settings of a process, from its environment: read once, with every mistake named at once."""

import difflib
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, cast, get_args

from pydantic import (
    AliasChoices,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretBytes,
    SecretStr,
    ValidationError,
)
from pydantic.fields import FieldInfo

MAX_FILE_BYTES = 64 * 1024
_MAX_PORT = 65_535
_FILE = "_FILE"


class SettingsError(Exception):
    """Error of wrong settings: a line for each mistake, with the variable, the rule and the fix."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


def _split_csv(value: object) -> object:
    if isinstance(value, str):
        return tuple(part for item in value.split(",") if (part := item.strip()))
    return value


type CsvList = Annotated[tuple[str, ...], BeforeValidator(_split_csv)]


class Settings(BaseModel):
    """Settings of one process. Each field names its variable, and describes it."""

    model_config = ConfigDict(frozen=True, populate_by_name=True, validate_default=True)

    prefixes: ClassVar[tuple[str, ...]] = ()  # a variable with one of these must be known
    foreign: ClassVar[tuple[str, ...]] = ()  # with such a prefix, but read by another process

    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info",
        validation_alias="TOWONEL_LOG_LEVEL",
        description="Which log lines are written: debug, info, warning or error.",
    )
    log_format: Literal["auto", "console", "json"] = Field(
        default="auto",
        validation_alias="TOWONEL_LOG_FORMAT",
        description="json for programs, console for people, auto to tell by the terminal.",
    )


@dataclass(frozen=True, slots=True)
class Variable:
    """Description of one variable, for the tables that document it."""

    name: str
    default: str
    description: str
    is_secret: bool
    deprecated: tuple[str, ...] = ()


def load[S: Settings](cls: type[S], environ: Mapping[str, str] | None = None) -> S:
    """Read the settings of a process.

    Any variable may be given as `<NAME>_FILE` instead, the path of a file with its value.

    Raises:
        SettingsError: with every mistake there is.
    """
    given = dict(os.environ if environ is None else environ)
    problems: list[str] = []
    values = _values(cls, given, problems)
    problems += _unknown(cls, given)
    try:
        settings = cls(**values)
    except ValidationError as error:
        found = _problems(cls, error)
        named = {line.partition(":")[0] for line in problems}
        raise SettingsError(
            problems + [line for line in found if line.partition(":")[0] not in named]
        ) from None
    if problems:
        raise SettingsError(problems)
    return settings


def variables(cls: type[Settings]) -> list[Variable]:
    """Return all variables, in the order of the fields."""
    return [_variable(field) for field in cls.model_fields.values()]


def parse_address(text: str) -> tuple[str, int]:
    """Return host and port of `0.0.0.0:443` or `[::]:443`.

    Raises:
        ValueError: where the form is another.
    """
    host, separator, port = text.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise ValueError("an IPv6 address needs brackets, as in [::1]:443")
    if not separator or not host or not (port.isascii() and port.isdigit()):
        raise ValueError("must be host:port, as in 0.0.0.0:443")
    if int(port) > _MAX_PORT:
        raise ValueError(f"the port must be at most {_MAX_PORT}")
    return host, int(port)


def _parse_address(value: object) -> object:
    return parse_address(value) if isinstance(value, str) else value


type HostPort = Annotated[tuple[str, int], BeforeValidator(_parse_address)]


def _names(field: FieldInfo) -> tuple[str, ...]:
    alias = field.validation_alias
    if isinstance(alias, AliasChoices):
        return tuple(str(choice) for choice in alias.choices)
    return (str(alias),)


def _values(cls: type[Settings], given: Mapping[str, str], problems: list[str]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for field_name, field in cls.model_fields.items():
        for name in _names(field):
            value = _value(name, given, problems)
            if value is not None:
                values[field_name] = value
                break
    return values


def _value(name: str, given: Mapping[str, str], problems: list[str]) -> str | None:
    path = given.get(name + _FILE)
    if path is None:
        return given.get(name)
    if name in given:
        problems.append(f"{name}: set it or {name}{_FILE}, not both")
        return None
    try:
        with Path(path).open() as file:
            return file.read(MAX_FILE_BYTES).strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not text"
        problems.append(f"{name}{_FILE}: cannot read {path}: {reason}")
        return None


def _unknown(cls: type[Settings], given: Iterable[str]) -> list[str]:
    known = {name for field in cls.model_fields.values() for name in _names(field)}
    known.update(cls.foreign)
    known |= {name + _FILE for name in known}
    return [
        f"{name}: unknown variable{_suggestion(name, known)}"
        for name in sorted(given)
        if name.startswith(cls.prefixes or ("\0",)) and name not in known
    ]


def _suggestion(name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.75)
    return (
        f"; did you mean {near[0]}?"
        if near
        else "; remove it, or see the README for those there are"
    )


def _problems(cls: type[Settings], error: ValidationError) -> list[str]:
    """Return a line for each mistake; the value itself is left out, for it may be a secret."""
    lines: list[str] = []
    meanings = {
        name: field.description for field in cls.model_fields.values() for name in _names(field)
    }
    for item in error.errors(include_input=False, include_url=False):
        where = [str(part) for part in item["loc"]]
        message = item["msg"].removeprefix("Value error, ")
        if not where:  # a rule about several variables names them itself
            lines.append(message)
            continue
        field = cls.model_fields.get(where[0])
        name = _names(field)[0] if field else where[0]
        if item["type"] == "missing" and name in meanings:
            message = f"must be set, or {name}{_FILE}. {meanings[name]}"
        inner = "".join(f"[{part}]" for part in where[1:])
        lines += [f"{name}{inner}: {line}" for line in message.split("\n")]
    return lines


def _variable(field: FieldInfo) -> Variable:
    first, *others = _names(field)
    default = (
        "required"
        if field.is_required()
        else _to_text(field.get_default(call_default_factory=True))
    )
    kinds = {field.annotation, *get_args(field.annotation)}
    return Variable(
        first,
        default,
        field.description or "",
        bool(kinds & {SecretStr, SecretBytes}) or not field.repr,
        tuple(others),
    )


def _to_text(value: object) -> str:
    if value is None or value == ():
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        parts = cast("tuple[object, ...]", value)
        is_address = len(parts) == 2 and isinstance(parts[1], int)  # noqa: PLR2004 host and port
        return (":" if is_address else ",").join(str(part) for part in parts)
    return str(value)
