"""OTLP collector of the tests: a real receiver, which keeps the spans it got."""

import contextlib
from collections.abc import Generator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Condition, Thread
from typing import override

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from towonel.runtime.settings import load
from towonel.runtime.tracing.telemetry import TelemetrySettings

type Values = dict[str, str | int]


@dataclass
class Collector:
    """What was received, by path; `status` is what it answers."""

    url: str = ""
    status: int = 200
    paths: list[str] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    requests: list[ExportTraceServiceRequest] = field(default_factory=list)
    changed: Condition = field(default_factory=Condition)

    @property
    def settings(self) -> TelemetrySettings:
        return load(TelemetrySettings, {"OTEL_EXPORTER_OTLP_ENDPOINT": self.url})

    @property
    def spans(self) -> list[Span]:
        return [
            span
            for request in list(self.requests)
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]

    def span(self, name: str) -> Span:
        (found,) = [span for span in self.spans if span.name == name]
        return found

    def resource(self) -> Values:
        return values(self.requests[0].resource_spans[0].resource.attributes)

    def take(self, path: str, headers: dict[str, str], body: bytes) -> None:
        with self.changed:
            self.paths.append(path)
            self.headers.append({name.lower(): value for name, value in headers.items()})
            self.requests.append(ExportTraceServiceRequest.FromString(body))
            self.changed.notify_all()

    def wait(self, count: int, within_s: float = 10) -> None:
        """Wait, in a thread, until so many requests have come."""
        with self.changed:
            assert self.changed.wait_for(lambda: len(self.paths) >= count, within_s)


def values(attributes: "list[KeyValue]") -> Values:
    return {
        item.key: item.value.string_value
        if item.value.HasField("string_value")
        else item.value.int_value
        for item in attributes
    }


def receiver(collector: Collector) -> type[BaseHTTPRequestHandler]:
    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            collector.take(self.path, dict(self.headers.items()), body)
            answer = ExportTraceServiceResponse().SerializeToString()
            self.send_response(collector.status)
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        @override
        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    return Receiver


@contextlib.contextmanager
def collecting() -> Generator[Collector]:
    collector = Collector()
    with ThreadingHTTPServer(("127.0.0.1", 0), receiver(collector)) as server:
        collector.url = f"http://127.0.0.1:{server.server_port}"
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield collector
        finally:
            server.shutdown()
            thread.join()
