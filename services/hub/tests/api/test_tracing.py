"""Traces of the API: each request and query arrives at a real collector, without its secrets."""

import contextlib
from collections.abc import AsyncGenerator, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from fastapi import APIRouter, FastAPI
from opentelemetry.trace import SpanKind
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from support.otlp import Collector, collecting, values

from towonel.hub.api.http.tracing import telemetry_config
from towonel.hub.store.db.tracing import trace_queries
from towonel.runtime.tracing.telemetry import current_trace_id, tracing

SERVER, CLIENT = SpanKind.SERVER.value + 1, SpanKind.CLIENT.value + 1  # as OTLP numbers them
PARENT = {"traceparent": f"00-{'ab' * 16}-{'cd' * 8}-01"}


@dataclass
class ListeningEdge:
    client: httpx.AsyncClient
    engine: AsyncEngine


@pytest.fixture
def collector() -> Iterator[Collector]:
    with collecting() as collector:
        yield collector


def make_app(engine: AsyncEngine) -> APIRouter:
    router = APIRouter(prefix="/v1/things")

    @router.get("/{thing_id}")
    async def get(thing_id: str) -> str | None:
        async with engine.connect() as connection:
            await connection.execute(
                text("SELECT name FROM thing WHERE id = :id"), {"id": thing_id}
            )
        return current_trace_id()

    @router.post("")
    async def fail() -> None:
        async with engine.begin() as connection:
            await connection.execute(
                text("INSERT INTO thing VALUES ('a', :s)"), {"s": "verysecret"}
            )

    return router


@contextlib.asynccontextmanager
async def hub(
    collector: Collector, path: Path, *, on: bool = True
) -> AsyncGenerator[ListeningEdge]:
    async with tracing("hub", "1", collector.settings, redact=("tt_inv_",)) as made:
        provider = made if on else None
        engine = create_async_engine(f"sqlite+aiosqlite:///{path}/a.db")
        async with engine.begin() as connection:
            await connection.execute(text("CREATE TABLE thing (id TEXT UNIQUE, name TEXT)"))
            await connection.execute(text("INSERT INTO thing VALUES ('a', 'b')"))
        trace_queries(engine.sync_engine, provider)
        app = FastAPI(telemetry=telemetry_config(provider))
        app.include_router(make_app(engine))
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://hub") as client:
            yield ListeningEdge(client, engine)
        await engine.dispose()


async def test_a_request_and_its_query_are_one_trace(collector: Collector, tmp_path: Path) -> None:
    async with hub(collector, tmp_path) as there:
        reported = (await there.client.get("/v1/things/a")).json()

    request, query = collector.span("GET /v1/things/{thing_id}"), collector.span("SELECT")
    assert query.parent_span_id == request.span_id
    assert query.trace_id.hex() == request.trace_id.hex() == reported
    assert (request.kind, query.kind) == (SERVER, CLIENT)
    assert (
        values(request.attributes).items()
        >= {
            "http.request.method": "GET",
            "http.route": "/v1/things/{thing_id}",
            "http.response.status_code": 200,
        }.items()
    )
    assert values(query.attributes) == {
        "db.system.name": "sqlite",
        "db.operation.name": "SELECT",
        "db.query.text": "SELECT name FROM thing WHERE id = ?",
    }


async def test_the_client_may_bring_its_trace(collector: Collector, tmp_path: Path) -> None:
    async with hub(collector, tmp_path) as there:
        reported = (await there.client.get("/v1/things/a", headers=PARENT)).json()

    request = collector.span("GET /v1/things/{thing_id}")
    assert reported == request.trace_id.hex() == "ab" * 16
    assert request.parent_span_id.hex() == "cd" * 8


async def test_no_secret_of_a_request_or_a_query_is_told(
    collector: Collector, tmp_path: Path
) -> None:
    headers = {"authorization": "Bearer verysecret", "user-agent": "verysecret"}
    async with hub(collector, tmp_path) as there:
        await there.client.get("/v1/things/tt_inv_2_verysecret?key=verysecret", headers=headers)
        failed = await there.client.post("/v1/things", headers=headers)

    assert failed.status_code == 500
    assert len(collector.spans) == 4
    assert "verysecret" not in str(collector.requests)
    path = values(collector.span("GET /v1/things/{thing_id}").attributes)["url.path"]
    assert path == "[hidden]"


async def test_failures_are_told_by_their_class(collector: Collector, tmp_path: Path) -> None:
    async with hub(collector, tmp_path) as there:
        await there.client.post("/v1/things")

    request, query = collector.span("POST /v1/things"), collector.span("INSERT")
    assert request.status.code == query.status.code == 2
    assert values(query.attributes)["error.type"] == "IntegrityError"
    assert values(request.attributes)["http.response.status_code"] == 500
    assert str(values(request.attributes)["error.type"]).endswith("IntegrityError")


async def test_what_matches_nothing_has_no_name_of_the_client_s_choice(
    collector: Collector, tmp_path: Path
) -> None:
    async with hub(collector, tmp_path) as there:
        await there.client.get("/wp-login.php")

    assert [span.name for span in collector.spans] == ["GET"]


async def test_without_a_provider_nothing_is_made(collector: Collector, tmp_path: Path) -> None:
    async with hub(collector, tmp_path, on=False) as there:
        reported = await there.client.get("/v1/things/a", headers=PARENT)
        with pytest.raises(IntegrityError):
            async with there.engine.begin() as connection:
                await connection.execute(text("INSERT INTO thing VALUES ('a', 'c')"))

    assert reported.json() is None
    assert collector.spans == []
