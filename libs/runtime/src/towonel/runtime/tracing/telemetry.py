"""Tracing: settings, the provider of spans, and the current trace.

Traces go by OTLP over HTTP to the standard's OTEL_EXPORTER_OTLP_ENDPOINT. Its other variables
(headers, timeout, certificates, sampler, queue) are read by OpenTelemetry itself. There is no
global provider: a caller that makes spans gets one, so that two can live in one process.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable, Mapping, MutableMapping
from typing import Annotated

from opentelemetry import trace
from pydantic import AnyHttpUrl, BeforeValidator, Field, SecretStr

from towonel.runtime.settings import Settings

FLUSH_S = 5.0  # what a collector that does not answer may cost at the end


def _parse_endpoint(value: object) -> object:
    """Check an endpoint; blank is None, as in the standard, and no error shows a password in it."""
    if not isinstance(value, str):
        return value
    if not value.strip():
        return None
    try:
        AnyHttpUrl(value.strip())
    except ValueError:
        raise ValueError(
            "must be an http:// or https:// address, as in http://127.0.0.1:4318"
        ) from None
    return value.strip()


Endpoint = Annotated[SecretStr | None, BeforeValidator(_parse_endpoint)]


class TelemetrySettings(Settings):
    """Settings of a process that can be traced."""

    otlp_endpoint: Endpoint = Field(
        default=None,
        validation_alias="OTEL_EXPORTER_OTLP_ENDPOINT",
        description="The OpenTelemetry collector that gets traces, by OTLP over HTTP; without it there"
        " are none. The other OTEL_ variables of the standard work as well.",
    )
    otlp_traces_endpoint: Endpoint = Field(
        default=None,
        validation_alias="OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
        description="The whole address for traces, path included; wins over OTEL_EXPORTER_OTLP_ENDPOINT.",
    )

    @property
    def traces_url(self) -> str | None:
        """Where traces are sent; None if they are not."""
        if self.otlp_traces_endpoint is not None:
            return self.otlp_traces_endpoint.get_secret_value()
        if self.otlp_endpoint is not None:
            return self.otlp_endpoint.get_secret_value().removesuffix("/") + "/v1/traces"
        return None


@contextlib.asynccontextmanager
async def tracing(
    service: str,
    version: str,
    settings: TelemetrySettings,
    *,
    redact: tuple[str, ...] = (),
    flush_s: float = FLUSH_S,
) -> AsyncGenerator[trace.TracerProvider | None]:
    """Send traces while the context lasts, if the settings name a collector.

    A collector that fails costs no request anything: spans wait in a bounded queue, those that
    cannot be sent are dropped, and a warning says so at most once a minute. At the end what is
    left is sent, in at most `flush_s` seconds.

    Args:
        service: the name that spans carry, unless OTEL_SERVICE_NAME says another.
        version: of the service.
        settings: whether and where to.
        redact: marks that only secrets contain; an attribute with one is hidden whole.
        flush_s: the time that the end may take, in seconds.

    Yields:
        A provider of spans; None, at no cost, if no collector is named.

    Raises:
        SettingsError: if OTEL_ variables contradict each other.
    """
    url = settings.traces_url
    if url is None:
        yield None
        return
    provider, close = await asyncio.to_thread(_start_provider, url, service, version, redact)
    try:
        yield provider
    finally:
        await asyncio.to_thread(close, flush_s)


def current_trace_id() -> str | None:
    """Return the trace that this code runs in, as 32 hexadecimal digits; None outside of one."""
    context = trace.get_current_span().get_span_context()
    return trace.format_trace_id(context.trace_id) if context.is_valid else None


def add_trace(
    _logger: object, _method: str, event: MutableMapping[str, object]
) -> Mapping[str, object]:
    """Add `trace_id` and `span_id` to a log line, if there are any: a structlog processor."""
    context = trace.get_current_span().get_span_context()
    if context.is_valid:
        event["trace_id"] = trace.format_trace_id(context.trace_id)
        event["span_id"] = trace.format_span_id(context.span_id)
    return event


def _start_provider(
    url: str, service: str, version: str, redact: tuple[str, ...]
) -> tuple[trace.TracerProvider, Callable[[float], None]]:
    # Importing takes 0.2 s and 12 MB, which only processes with traces pay.
    from towonel.runtime.tracing import otlp  # noqa: PLC0415

    traces = otlp.start(url, service, version, redact)
    return traces.provider, traces.close
