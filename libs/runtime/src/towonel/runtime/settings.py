"""Settings of a process, from its environment: read once, with every mistake named at once."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal, cast, get_args

from pydantic import (
    AliasChoices,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    SecretBytes,
    SecretStr,
    ValidationError,
)
from pydantic.fields import FieldInfo

from towonel.runtime.addresses import WILDCARDS, parse_address
from towonel.runtime.environment.certificates import find_certificate_problem
from towonel.runtime.environment.lists import split_list
from towonel.runtime.environment.names import find_unknown
from towonel.runtime.environment.rules import explain
from towonel.runtime.environment.values import FILE_SUFFIX, Reading, normalize, read_values


class SettingsError(Exception):
    """Error of wrong settings: a line for each mistake, with the variable, the rule and the fix."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


def _split(value: object) -> object:
    return split_list(value) if isinstance(value, str) else value


type CsvList = Annotated[tuple[str, ...], BeforeValidator(_split)]


class Settings(BaseModel):
    """Settings of one process. Each field names its variable, and describes it."""

    model_config = ConfigDict(
        frozen=True,
        populate_by_name=True,
        validate_default=True,
        allow_inf_nan=False,
        defer_build=True,  # a program reads one kind of settings, and imports several
    )

    prefixes: ClassVar[tuple[str, ...]] = ()  # a variable with one of these must be known
    foreign: ClassVar[frozenset[str]] = frozenset()  # known, but read by another process
    replaced: ClassVar[Mapping[str, str]] = {}  # read no more, and what to do instead
    verifies_hub: ClassVar[bool] = False  # by TLS, with the authorities of the environment

    _warnings: tuple[str, ...] = PrivateAttr(())
    _files: tuple[str, ...] = PrivateAttr(())

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

    def variable_of(self, field: str) -> str:
        """Return the variable of a field, to name it where its value turns out to be of no use."""
        return _names(type(self).model_fields[field])[0]

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is accepted, and yet worth a word: a line each, which begins with the variable."""
        return self._warnings + tuple(self.find_warnings())

    @property
    def files(self) -> tuple[str, ...]:
        """Paths of the files that values were read from."""
        return self._files

    def add_reading(self, reading: Reading) -> None:
        """Add what was noticed while the variables were read, and where."""
        self._warnings += tuple(reading.warnings)
        self._files = tuple(reading.files)

    def find_warnings(self) -> Iterator[str]:
        """Yield what is unusual about these values."""
        yield from ()


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

    Any variable may be given as `<NAME>_FILE` instead, the path of a file with its value. One that
    is empty, or blank, is not set.

    Raises:
        SettingsError: with every mistake there is.
    """
    given = normalize(os.environ if environ is None else environ)
    fields = cls.model_fields
    names = [name for field in fields.values() for name in _names(field)]
    reading = read_values(names, given)
    known = cls.foreign.union(names)
    problems = reading.problems + find_unknown(given, known, cls.replaced, cls.prefixes)
    if cls.verifies_hub and (problem := find_certificate_problem(given)) is not None:
        problems.append(problem)
    unreadable = _find_unreadable(cls, reading)
    try:
        settings = cls.model_validate(_choose(cls, reading) | unreadable)
    except ValidationError as error:
        found = explain(error, fields, _names, reading.values, frozenset(unreadable))
        problems += [reading.name_file(_blame_empty_file(line, reading)) for line in found]
        raise SettingsError(problems) from None
    if problems:
        raise SettingsError(problems)
    settings.add_reading(reading)
    return settings


def load_partly[S: Settings](cls: type[S]) -> tuple[S, list[str]]:
    """Read the settings of this process as far as they are right, and a line for each mistake.

    What is wrong counts as not set, so that the mistakes of other programs can be looked for, too.

    Raises:
        SettingsError: what must be set is not.
    """
    try:
        return load(cls), []
    except SettingsError as error:
        wrong = {_variable_of(line) for line in error.problems}
        given = normalize(os.environ).items()
        rest = {name: value for name, value in given if name.removesuffix(FILE_SUFFIX) not in wrong}
        return load(cls, rest), error.problems


def log_warnings(settings: Settings) -> None:
    """Log what is accepted, and yet worth a word; once logs are configured."""
    import structlog  # noqa: PLC0415 with rich and pygments, for which no command should wait

    log: structlog.stdlib.BoundLogger = structlog.get_logger()
    for line in settings.warnings:
        variable, _, reason = line.partition(": ")
        log.warning("setting.questioned", variable=variable, reason=reason)


def variables(cls: type[Settings]) -> list[Variable]:
    """Return all variables, in the order of the fields."""
    return [_variable(field) for field in cls.model_fields.values()]


def describe_undialable(text: str, example: str) -> str | None:
    """Return why others cannot dial an address, such as that of a wildcard; None if they can."""
    try:
        host, port = parse_address(text)
    except ValueError as error:
        return str(error)
    if host in WILDCARDS or port == 0:
        return f"must be what others can dial, as in {example}"
    return None


def _parse_address(value: object) -> object:
    return parse_address(value) if isinstance(value, str) else value


type HostPort = Annotated[tuple[str, int], BeforeValidator(_parse_address)]


def _names(field: FieldInfo) -> tuple[str, ...]:
    alias = field.validation_alias
    if isinstance(alias, AliasChoices):
        return tuple(str(choice) for choice in alias.choices)
    return (str(alias),)


def _variable_of(line: str) -> str:
    return line.partition(":")[0].partition("[")[0].removesuffix(FILE_SUFFIX)


def _find_unreadable(cls: type[Settings], reading: Reading) -> dict[str, object]:
    """Return fields whose variables have no value, with one that no field takes.

    What depends on such a field can tell it from one that is not set, and asks for nothing else.
    """
    names = {_variable_of(line) for line in reading.problems}
    fields = cls.model_fields.items()
    return {name: object() for name, field in fields if names & {*_names(field)}}


def _blame_empty_file(line: str, reading: Reading) -> str:
    """Return the line of a variable that must be set, or that of its file, if that is empty."""
    start = f"{_variable_of(line)}{FILE_SUFFIX}: "
    return next((one for one in reading.warnings if one.startswith(start)), line)


def _choose(cls: type[Settings], reading: Reading) -> dict[str, object]:
    """Return the value of each field; an older name counts where the newer is not set."""
    values: dict[str, object] = {}
    for field_name, field in cls.model_fields.items():
        newest, *older = _names(field)
        found = [name for name in (newest, *older) if name in reading.values]
        if found:
            values[field_name] = reading.values[found[0]]
        reading.warnings.extend(
            f"{name}: deprecated; use {newest}" + (", which wins over it" * (name != found[0]))
            for name in found
            if name != newest
        )
    return values


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
    if isinstance(value, frozenset):
        return ",".join(sorted(map(str, cast("frozenset[object]", value))))
    return str(value)
