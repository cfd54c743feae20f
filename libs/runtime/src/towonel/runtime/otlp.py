"""How spans leave the process: a bounded queue, a thread that posts them, and few words about it."""

import contextlib
import logging
import threading
import time
from dataclasses import dataclass
from typing import override

import structlog
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import Span, SpanLimits, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from towonel.runtime.settings import SettingsError

MAX_ATTRIBUTE_CHARS = 2_048
QUIET_S = 60.0  # between two warnings about OpenTelemetry's own troubles
_HIDDEN = "[hidden]"
log: structlog.stdlib.BoundLogger = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Traces:
    """A provider of spans, and what sends them."""

    provider: TracerProvider
    exporter: OTLPSpanExporter

    def close(self, within_s: float) -> None:
        """Send what is left, and end; blocks for `within_s` seconds at most.

        OpenTelemetry's own end waits for each batch as long as it takes, so a thread waits there.
        """
        closer = threading.Thread(target=self.provider.shutdown, name="traces-end", daemon=True)
        closer.start()
        closer.join(within_s)
        if closer.is_alive():
            log.warning("traces.lost", reason="the collector did not take them in time")
            # Wakes whoever waits to try once more.
            self.exporter.shutdown()  # type: ignore[no-untyped-call] # it has no types


def start(url: str, service: str, version: str, redact: tuple[str, ...]) -> Traces:
    """Return what makes spans and sends them to `url`.

    Raises:
        SettingsError: where OTEL_ variables contradict each other.
    """
    _hush()
    own = {"service.name": service, "service.version": version}
    provider = TracerProvider(
        resource=Resource.create(own).merge(OTELResourceDetector().detect()),
        shutdown_on_exit=False,
        span_limits=SpanLimits(max_span_attribute_length=MAX_ATTRIBUTE_CHARS),
    )
    exporter = OTLPSpanExporter(endpoint=url)
    provider.add_span_processor(_Redactor(redact))
    try:
        provider.add_span_processor(BatchSpanProcessor(exporter))
    except ValueError as error:  # of numbers only, so its text can be shown
        raise SettingsError([f"OTEL_BSP_...: {error}"]) from error
    return Traces(provider, exporter)


class _Redactor(SpanProcessor):
    """Hides what may be secret before a span can leave: queries, and texts with a known mark."""

    def __init__(self, marks: tuple[str, ...]) -> None:
        self._marks = marks

    @override
    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        for key, value in (span.attributes or {}).items():
            if key == "url.query" or any(mark in str(value) for mark in self._marks):
                span.set_attribute(key, _HIDDEN)


class _Warnings(logging.Handler):
    """OpenTelemetry's troubles as events of ours: one in QUIET_S, in fixed words.

    Texts that go into these are left out: headers that it cannot read, and addresses, hold secrets.
    """

    _quiet_until = 0.0
    _left_out = 0

    @override
    def emit(self, record: logging.LogRecord) -> None:
        now = time.monotonic()
        if now < self._quiet_until:
            self._left_out += 1
            return
        left_out, self._left_out, self._quiet_until = self._left_out, 0, now + QUIET_S
        with contextlib.suppress(OSError, ValueError):  # no reader of ours; a request goes on
            log.warning("traces.trouble", problem=_text(record), left_out=left_out)


def _text(record: logging.LogRecord) -> str:
    given = record.args if isinstance(record.args, tuple) else ()
    try:
        return str(record.msg) % tuple(_shown(value) for value in given)
    except (TypeError, ValueError):  # what we left out was a number after all
        return str(record.msg)


def _shown(value: object) -> object:
    """A number as it is, of an error its class; of a text nothing."""
    if isinstance(value, int | float):
        return value
    return type(value).__name__ if isinstance(value, BaseException) else "…"


def _hush() -> None:
    """Take OpenTelemetry's log lines, which are one a batch and quote the environment, for all."""
    logger = logging.getLogger("opentelemetry")
    logger.propagate = False
    logger.handlers = [_Warnings(logging.WARNING)]
