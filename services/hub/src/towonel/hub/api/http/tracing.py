"""Tracing options of FastAPI: a span for every request, named by its route."""

from fastapi.telemetry import TelemetryConfig
from opentelemetry.trace import TracerProvider


def telemetry_config(provider: TracerProvider | None) -> TelemetryConfig:
    """Return the value of `FastAPI(telemetry=...)`: spans of `provider` only, or nothing.

    A span has method, route, path, status and the class of an error. No headers, and no message
    of an exception; the provider of `towonel.runtime.tracing.telemetry` hides the query. A `traceparent`
    of the client is the parent.

    FastAPI's own metrics and logs stay off, for the hub has its own; so does its reading of the
    environment, which would set providers for the whole process.
    """
    return {
        "tracer_provider": provider,
        "tracing": provider is not None,
        "metrics": False,
        "logs": False,
        "operation_spans": False,
        "auto_configure": False,
    }
