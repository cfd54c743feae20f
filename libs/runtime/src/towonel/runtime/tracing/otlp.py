"""Exporter of traces over OTLP: a bounded queue, and a thread that posts what is in it."""

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
QUIET_S = 60.0  # between two warnings about OpenTelemetry's own problems
_HIDDEN = "[hidden]"
log: structlog.stdlib.BoundLogger = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Traces:
    """Provider of spans, with the exporter that sends them."""

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
            log.warning("traces.dropped", reason="the collector did not take them in time")
            # Wakes the thread, which waits to try once more.
            self.exporter.shutdown()  # type: ignore[no-untyped-call] # it has no types


def start(url: str, service: str, version: str, redact: tuple[str, ...]) -> Traces:
    """Return a provider of spans, which are sent to `url`.

    Raises:
        SettingsError: if OTEL_ variables contradict each other.
    """
    _redirect_warnings()
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
    """Span processor that hides possible secrets: queries, and texts with a known mark."""

    def __init__(self, marks: tuple[str, ...]) -> None:
        self._marks = marks

    @override
    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        for key, value in (span.attributes or {}).items():
            if key == "url.query" or any(mark in str(value) for mark in self._marks):
                span.set_attribute(key, _HIDDEN)


class _Warnings(logging.Handler):
    """Log handler that turns OpenTelemetry's warnings into our events, one in QUIET_S.

    Texts that are arguments of a warning are left out: its addresses and headers hold secrets.
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
            log.warning("traces.degraded", problem=_format_record(record), left_out=left_out)


def _format_record(record: logging.LogRecord) -> str:
    given = record.args if isinstance(record.args, tuple) else ()
    try:
        return str(record.msg) % tuple(_mask_text(value) for value in given)
    except (TypeError, ValueError):  # what we left out was a number after all
        return str(record.msg)


def _mask_text(value: object) -> object:
    """Return a number as it is, the class of an error, and nothing of a text."""
    if isinstance(value, int | float):
        return value
    return type(value).__name__ if isinstance(value, BaseException) else "…"


def _redirect_warnings() -> None:
    """Take over OpenTelemetry's log lines: one for each batch, and they quote the environment."""
    logger = logging.getLogger("opentelemetry")
    logger.propagate = False
    logger.handlers = [_Warnings(logging.WARNING)]
