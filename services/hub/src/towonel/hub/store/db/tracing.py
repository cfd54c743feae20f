"""Spans of database queries: the statement and how it ended, never its values.

OpenTelemetry's own instrumentation is not used: it refuses SQLAlchemy 2.1, knows one engine per
process, and records the texts of errors, in which databases quote values.
"""

from weakref import WeakKeyDictionary

from opentelemetry.trace import Span, SpanKind, Status, StatusCode, Tracer, TracerProvider
from sqlalchemy import Connection, Engine, event
from sqlalchemy.engine import ExceptionContext, ExecutionContext

_MAX_WORD = 32


def trace_queries(engine: Engine, provider: TracerProvider | None) -> None:
    """Record a span for each query of an engine; without a provider, do nothing.

    Args:
        engine: of an AsyncEngine its `sync_engine`.
        provider: what makes the spans; parameters never reach it.
    """
    if provider is None:
        return
    queries = _Queries(provider.get_tracer("towonel.hub.store"), engine.dialect.name)
    event.listen(engine, "before_cursor_execute", queries.starts)
    event.listen(engine, "after_cursor_execute", queries.ends)
    event.listen(engine, "handle_error", queries.fails)


class _Queries:
    """Spans of the running queries; one that never ends is dropped with its query."""

    def __init__(self, tracer: Tracer, system: str) -> None:
        self._tracer = tracer
        self._system = system
        self._running: WeakKeyDictionary[ExecutionContext, Span] = WeakKeyDictionary()

    def starts(
        self,
        _connection: Connection,
        _cursor: object,
        statement: str,
        _parameters: object,
        context: ExecutionContext | None,
        _many: object,
    ) -> None:
        operation = (statement.split(maxsplit=1) or [self._system])[0].upper()[:_MAX_WORD]
        attributes = {
            "db.system.name": self._system,
            "db.operation.name": operation,
            "db.query.text": statement,
        }
        if context is not None:
            self._running[context] = self._tracer.start_span(
                operation, kind=SpanKind.CLIENT, attributes=attributes
            )

    def ends(
        self,
        _connection: Connection,
        _cursor: object,
        _statement: str,
        _parameters: object,
        context: ExecutionContext | None,
        _many: object,
    ) -> None:
        self._end(context)

    def fails(self, failure: ExceptionContext) -> None:
        self._end(failure.execution_context, failure.original_exception)

    def _end(self, context: ExecutionContext | None, error: BaseException | None = None) -> None:
        span = None if context is None else self._running.pop(context, None)
        if span is None:
            return
        if error is not None:
            span.set_attribute("error.type", type(error).__name__)
            if state := getattr(error, "sqlstate", None):
                span.set_attribute("db.response.status_code", state)
            span.set_status(Status(StatusCode.ERROR))
        span.end()
