"""Structured logging: one event a line on standard error, keys not sentences, never a secret."""

import logging
import sys
import threading
from collections.abc import Mapping, MutableMapping, Sequence
from types import TracebackType
from typing import Literal, override

import structlog
from structlog.typing import Processor

log: structlog.stdlib.BoundLogger = structlog.get_logger()

type Format = Literal["auto", "console", "json"]

_HIDDEN = "[hidden]"
_SECRET_KEYS = frozenset(
    {"token", "secret", "seed", "key", "authorization", "password", "operator_key", "grant"}
)


def describe_error(error: BaseException) -> str:
    """Return what an error says, or its kind: the text of many is empty, as that of a timeout."""
    return str(error).strip() or type(error).__name__


class Redactor:
    """Log processor that hides values under a secret's key, and values that contain a known mark."""

    def __init__(self, marks: tuple[str, ...]) -> None:
        self._marks = marks

    def __call__(
        self, _logger: object, _method: str, event: MutableMapping[str, object]
    ) -> Mapping[str, object]:
        for key, value in event.items():
            if key in _SECRET_KEYS or any(mark in str(value) for mark in self._marks):
                event[key] = _HIDDEN
        return event


def configure(
    level: str,
    fmt: Format,
    service: str,
    *,
    redact: tuple[str, ...] = (),
    processors: Sequence[Processor] = (),
) -> None:
    """Send logs to standard error, as JSON, or for people if that is a terminal and fmt is `auto`.

    Args:
        level: debug, info, warning or error; lower ones are dropped early.
        fmt: `json` for programs, `console` for people.
        service: the name that each line carries.
        redact: marks that only secrets contain; a value with one is hidden whole.
        processors: of structlog, which add to each line.
    """
    number = logging.getLevelNamesMapping()[level.upper()]
    is_console = fmt == "console" or (fmt == "auto" and sys.stderr.isatty())
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            *processors,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            Redactor(redact),
            _console() if is_console else structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=False,
    )
    structlog.contextvars.bind_contextvars(service=service)
    at_least = max(number, logging.WARNING)
    logging.basicConfig(level=at_least, handlers=[_LibraryHandler()], force=True)


def _console() -> structlog.dev.ConsoleRenderer:
    """Return a renderer that writes texts as Python does: what a client sent may hold codes."""
    plain = structlog.dev.plain_traceback
    return structlog.dev.ConsoleRenderer(repr_native_str=True, exception_formatter=plain)


def capture_uncaught() -> None:
    """Log what Python would write to standard error as text: for a process of its own.

    That are warnings, and exceptions that nothing catches, in a thread or a destructor too.
    """
    logging.captureWarnings(capture=True)
    sys.excepthook = _log_uncaught
    sys.unraisablehook = _log_unraisable
    threading.excepthook = _log_unraisable


class _LibraryHandler(logging.Handler):
    """Handler of what libraries log, as events of the same form as ours."""

    @override
    def emit(self, record: logging.LogRecord) -> None:
        event = "library.logged"
        try:
            log.log(
                record.levelno,
                event,
                logger=record.name,
                detail=record.getMessage(),
                exc_info=record.exc_info,
            )
        except Exception:  # noqa: BLE001 a record that cannot be formatted: as logging does it
            self.handleError(record)


def _log_uncaught(
    _kind: type[BaseException], error: BaseException, _traceback: TracebackType | None
) -> None:
    log.error("process.crashed", exc_info=error)


def _log_unraisable(
    arguments: "sys.UnraisableHookArgs | threading.ExceptHookArgs",
) -> None:
    log.error("process.exception_ignored", exc_info=arguments.exc_value)
