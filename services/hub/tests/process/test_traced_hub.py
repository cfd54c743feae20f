"""A hub as its users start it, with and without a collector of traces."""

import asyncio
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from support.hub_process import own_process
from support.otlp import Collector, collecting, values
from support.plain_http import plain_client

TRACE, PARENT_SPAN = "ab" * 16, "cd" * 8
HEADERS = {"traceparent": f"00-{TRACE}-{PARENT_SPAN}-01", "x-request-id": "of-the-test"}
REQUEST = "GET /v1/invites"
pytestmark = pytest.mark.processes


@pytest.fixture
def collector() -> Iterator[Collector]:
    with collecting() as collector:
        yield collector


@dataclass(frozen=True)
class Seen:
    """What a caller was answered, and what the log says of it."""

    served: httpx.Response
    refused: httpx.Response
    lines: list[dict[str, Any]]


async def requested(
    folder: Path, collector: Collector, *, forked: bool = False, **more: str
) -> Seen:
    """Ask a hub for what it serves and for what it refuses."""
    log = folder / "log"
    async with own_process(folder / "state", log, forked=forked, **more) as chosen:
        key = (chosen.data_dir / "operator.key").read_text()
        url = f"http://127.0.0.1:{chosen.listen_addr[1]}"
        headers = {**HEADERS, "authorization": f"Bearer {key}"}
        async with plain_client(base_url=url, headers=headers) as http:
            served = await http.get("/v1/invites")
            refused = await http.get("/v1/invites?cursor=none")
        async with asyncio.timeout(20):
            while more and sum(span.name == REQUEST for span in collector.spans) < 2:
                await asyncio.sleep(0.02)
    lines = [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]
    return Seen(served, refused, [it for it in lines if it.get("request_id") == "of-the-test"])


async def test_a_trace_goes_from_the_caller_to_the_query_the_envelope_and_the_log(
    collector: Collector, tmp_path: Path
) -> None:
    seen = await requested(
        tmp_path,
        collector,
        OTEL_EXPORTER_OTLP_ENDPOINT=collector.url,
        OTEL_BSP_SCHEDULE_DELAY="50",
        TOWONEL_LOG_LEVEL="debug",
    )
    requests = [span for span in collector.spans if span.name == REQUEST]
    ours = {span.span_id for span in requests}
    queries = [span for span in collector.spans if span.parent_span_id in ours]

    assert (seen.served.status_code, seen.refused.status_code) == (200, 400)
    assert seen.refused.json()["error"]["trace_id"] == TRACE
    assert {span.trace_id.hex() for span in (*requests, *queries)} == {TRACE}
    assert {span.parent_span_id.hex() for span in requests} == {PARENT_SPAN}
    assert "SELECT" in {values(span.attributes)["db.operation.name"] for span in queries}
    assert {line["event"] for line in seen.lines} >= {"request.refused", "request.answered"}
    refusals = [line for line in seen.lines if line["event"] == "request.refused"]
    assert [line["trace_id"] for line in refusals] == [TRACE]
    assert all(bytes.fromhex(line["span_id"]) in ours for line in refusals)


async def test_without_a_collector_nothing_is_traced(collector: Collector, tmp_path: Path) -> None:
    seen = await requested(tmp_path, collector, forked=True)

    assert (seen.served.status_code, seen.refused.status_code) == (200, 400)
    assert "trace_id" not in seen.refused.json()["error"]
    assert [line["event"] for line in seen.lines] == ["request.refused"]
    assert not {"trace_id", "span_id"} & seen.lines[0].keys()
    assert collector.requests == []
