"""Tracing: spans arrive, log lines name them, and an unreachable collector costs nothing."""

import asyncio
import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest
import structlog
from opentelemetry.trace import TracerProvider
from support.otlp import Collector, collecting, values

from towonel.runtime import logs
from towonel.runtime.settings import SettingsError, load, variables
from towonel.runtime.tracing.telemetry import (
    TelemetrySettings,
    add_trace,
    current_trace_id,
    tracing,
)

ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
TRACES_ENDPOINT = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"


@pytest.fixture
def collector() -> Iterator[Collector]:
    with collecting() as collector:
        yield collector


def settings(**given: str) -> TelemetrySettings:
    return load(TelemetrySettings, given)


def closed_url() -> str:
    """The address of a collector that does not run."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}"


def lines(capsys: pytest.CaptureFixture[str], event: str) -> list[dict[str, object]]:
    found = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    return [line for line in found if line["event"] == event]


def make_spans(provider: TracerProvider | None, *names: str) -> None:
    assert provider is not None
    for name in names:
        with provider.get_tracer("test").start_as_current_span(name):
            pass


async def test_spans_arrive_with_their_service_and_in_their_order(collector: Collector) -> None:
    async with tracing("example", "1.2", collector.settings) as provider:
        assert provider is not None
        tracer = provider.get_tracer("test")
        with tracer.start_as_current_span("outer"), tracer.start_as_current_span("inner"):
            pass

    outer, inner = collector.span("outer"), collector.span("inner")
    assert inner.parent_span_id == outer.span_id
    assert inner.trace_id == outer.trace_id
    assert outer.parent_span_id == b""
    assert collector.paths == ["/v1/traces"]
    assert collector.resource()["service.name"] == "example"
    assert collector.resource()["service.version"] == "1.2"


async def test_a_log_line_names_its_trace(
    collector: Collector, capsys: pytest.CaptureFixture[str]
) -> None:
    logs.configure("info", "json", "example", processors=(add_trace,))
    async with tracing("example", "1", collector.settings) as provider:
        assert provider is not None
        with provider.get_tracer("test").start_as_current_span("work"):
            structlog.get_logger().info("thing.happened")
            inside = current_trace_id()
        structlog.get_logger().info("thing.happened")

    first, second = lines(capsys, "thing.happened")
    span = collector.span("work")
    assert inside == first["trace_id"] == span.trace_id.hex()
    assert first["span_id"] == span.span_id.hex()
    assert "trace_id" not in second
    assert current_trace_id() is None


async def test_spans_are_sent_while_the_process_runs(
    collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "10")
    async with tracing("example", "1", collector.settings) as provider:
        make_spans(provider, "work")
        await asyncio.to_thread(collector.wait, 1)

        assert [span.name for span in collector.spans] == ["work"]


async def test_the_standard_variables_name_the_service_and_the_headers(
    collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_SERVICE_NAME", "theirs")
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment=lab")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20abc")
    async with tracing("example", "1", collector.settings) as provider:
        make_spans(provider, "work")

    assert collector.resource()["service.name"] == "theirs"
    assert collector.resource()["deployment.environment"] == "lab"
    assert collector.headers[0]["authorization"] == "Bearer abc"


async def test_two_of_them_live_in_one_process_and_do_not_mix() -> None:
    with collecting() as first, collecting() as second:
        async with (
            tracing("one", "1", first.settings) as one,
            tracing("two", "1", second.settings) as two,
        ):
            make_spans(one, "first")
            make_spans(two, "second")

    assert [span.name for span in first.spans] == ["first"]
    assert [span.name for span in second.spans] == ["second"]


async def test_queries_and_marked_secrets_are_hidden_and_texts_are_bounded(
    collector: Collector,
) -> None:
    async with tracing("example", "1", collector.settings, redact=("tok_",)) as provider:
        assert provider is not None
        given = {"url.query": "a=b", "url.path": "/x/tok_abc", "kept": "fine", "long": "x" * 9_000}
        provider.get_tracer("test").start_span("work", attributes=given).end()

    found = values(collector.span("work").attributes)
    assert found["url.query"] == found["url.path"] == "[hidden]"
    assert found["kept"] == "fine"
    assert found["long"] == "x" * 2_048


async def test_an_unreachable_collector_costs_a_bounded_end_and_one_warning(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    logs.configure("info", "json", "example")
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "1")
    before = time.monotonic()
    async with tracing(
        "example", "1", settings(**{ENDPOINT: closed_url()}), flush_s=0.3
    ) as provider:
        make_spans(provider, *["work"] * 5_000)  # more than the queue holds

    assert time.monotonic() - before < 20  # an exporter by itself goes on for a minute
    assert len(lines(capsys, "traces.degraded")) == 1


async def test_the_end_waits_for_the_collector_off_the_event_loop() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes connections, answers nothing
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        ticks = 0
        async with asyncio.TaskGroup() as tasks:

            async def tick() -> None:
                nonlocal ticks
                while True:
                    await asyncio.sleep(0.01)
                    ticks += 1

            ticking = tasks.create_task(tick())
            async with tracing("example", "1", settings(**{ENDPOINT: url}), flush_s=0.3) as made:
                make_spans(made, "work")
                ticks = 0
            ticking.cancel()

    assert ticks > 5


@pytest.mark.parametrize("status", [401, 503])
async def test_a_refusal_of_the_collector_is_logged_without_a_secret(
    collector: Collector,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    status: int,
) -> None:
    logs.configure("info", "json", "example")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "authorization=verysecret,bad verysecret")
    collector.status = status
    async with tracing("example", "1", collector.settings, flush_s=0.3) as provider:
        make_spans(provider, "work")

    written = capsys.readouterr().err
    assert written.count("traces.degraded") == 1
    assert "verysecret" not in written
    assert [span.name for span in collector.spans][:1] == ["work"]


async def test_a_warning_says_the_class_of_an_error_and_no_address(
    capsys: pytest.CaptureFixture[str],
) -> None:
    logs.configure("info", "json", "example")
    url = closed_url().replace("//", "//user:verysecret@") + "/verysecret"
    async with tracing("example", "1", settings(**{ENDPOINT: url}), flush_s=0.1) as provider:
        make_spans(provider, "work")

    written = capsys.readouterr().err
    assert "ConnectionError" in written
    assert "verysecret" not in written


@pytest.mark.parametrize("given", [{}, {ENDPOINT: " "}, {"OTEL_SERVICE_NAME": "example"}])
async def test_without_a_collector_there_is_no_provider_and_no_thread(
    given: dict[str, str],
) -> None:
    threads = threading.active_count()
    async with tracing("example", "1", settings(**given)) as provider:
        assert provider is None
        assert threading.active_count() == threads


def test_without_a_collector_the_sender_is_not_even_imported() -> None:
    program = """
import asyncio, sys
from towonel.runtime.tracing.telemetry import *
async def main():
    async with tracing("example", "1", TelemetrySettings()):
        print([name for name in sys.modules if "otlp" in name or "opentelemetry.sdk" in name])
asyncio.run(main())
"""
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)

    assert done.stdout.strip() == b"[]"


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ({ENDPOINT: "http://a:4318"}, "http://a:4318/v1/traces"),
        ({ENDPOINT: "https://a/otlp/"}, "https://a/otlp/v1/traces"),
        ({ENDPOINT: "http://a", TRACES_ENDPOINT: "http://b/x"}, "http://b/x"),
        ({ENDPOINT: "http://a", TRACES_ENDPOINT: ""}, "http://a/v1/traces"),
        ({}, None),
    ],
)
def test_the_address_is_made_as_the_standard_says(given: dict[str, str], url: str | None) -> None:
    assert settings(**given).traces_url == url


@pytest.mark.parametrize("bad", ["collector:4318", "ftp://verysecret", "http://", "http://a:b"])
def test_an_invalid_address_is_refused_without_showing_it(bad: str) -> None:
    with pytest.raises(SettingsError) as caught:
        settings(**{ENDPOINT: bad})

    assert str(caught.value) == (
        f"{ENDPOINT}: must be an http:// or https:// address, as in http://127.0.0.1:4318"
    )


def test_an_address_may_hold_a_password_and_is_never_shown() -> None:
    made = settings(**{ENDPOINT: "http://user:verysecret@a"})

    assert "verysecret" not in repr(made)
    assert [v.name for v in variables(TelemetrySettings) if v.is_secret] == [
        ENDPOINT,
        TRACES_ENDPOINT,
    ]


async def test_numbers_that_contradict_each_other_are_a_mistake_of_the_settings(
    collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "10")
    with pytest.raises(SettingsError, match="max_export_batch_size must be less"):
        async with tracing("example", "1", collector.settings):
            pass
