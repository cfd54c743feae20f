"""Admin server: health and metrics, and a web server that ends without cutting requests off."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import httpx
import pytest
from prometheus_client import CollectorRegistry, Counter
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from support.plain_http import plain_client

from towonel.runtime import admin, web
from towonel.runtime.admin import Health
from towonel.runtime.settings import SettingsError
from towonel.runtime.web import WebTiming

HEAD_S = 1.0


@pytest.fixture
def health() -> Health:
    return Health()


@pytest.fixture
async def client(health: Health) -> AsyncIterator[httpx.AsyncClient]:
    registry = CollectorRegistry()
    Counter("things", "Things.", registry=registry).inc(3)
    served = admin.serve(
        "127.0.0.1",
        0,
        health,
        registry,
        about={"name": "example", "version": "1.2", "engine": "python"},
        aliases=("/healthz",),
        timing=WebTiming(head_s=HEAD_S),
    )
    async with served as port, plain_client(base_url=f"http://127.0.0.1:{port}") as http:
        yield http


async def test_the_process_is_alive_and_shows_its_version_and_metrics(
    client: httpx.AsyncClient,
) -> None:
    assert (await client.get("/livez")).text == "ok"
    assert (await client.get("/healthz")).text == "ok"
    about = (await client.get("/version")).json()
    assert about == {"name": "example", "version": "1.2", "engine": "python"}


async def test_metrics_say_whether_it_is_ready_and_what_is_degraded(
    client: httpx.AsyncClient, health: Health
) -> None:
    health.set("routes", ok=False)
    health.set_degraded("redis", reason="does not answer")
    health.set_degraded("disk", reason="full")
    health.set_degraded("disk", reason=None)

    lines = (await client.get("/metrics")).text.splitlines()

    assert "towonel_example_ready 0.0" in lines
    assert 'towonel_example_degraded{check="redis"} 1.0' in lines
    assert 'towonel_example_degraded{check="disk"} 0.0' in lines


async def test_metrics_are_in_the_form_that_every_scraper_reads(client: httpx.AsyncClient) -> None:
    answer = await client.get("/metrics")

    assert "things_total 3.0" in answer.text
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"


def test_a_process_is_counted_as_the_original_counts_its_own() -> None:
    registry = CollectorRegistry()
    admin.register_process_metrics(registry)

    assert {family.name for family in registry.collect()} == {  # inventory §10
        "process_cpu_seconds",
        "process_resident_memory_bytes",
        "process_virtual_memory_bytes",
        "process_open_fds",
        "process_max_fds",
        "process_start_time_seconds",
        "process_threads",
    }


async def test_it_is_ready_while_every_check_holds(
    client: httpx.AsyncClient, health: Health
) -> None:
    health.set("database", ok=False, reason="away")
    health.set("cache", ok=False)
    away = await client.get("/readyz")
    health.set("database", ok=True)
    health.set("cache", ok=True)

    assert away.status_code == 503
    assert away.json()["reasons"] == {"database": "away", "cache": "not yet"}
    assert (await client.get("/readyz")).status_code == 200


async def test_once_draining_it_is_never_ready_again(
    client: httpx.AsyncClient, health: Health
) -> None:
    health.start_draining()
    health.set("database", ok=True)

    assert (await client.get("/readyz")).status_code == 503
    assert not health.ready
    assert health.reasons == {"stopping": "draining"}


async def test_a_request_in_flight_is_answered_while_the_server_ends() -> None:
    started, go_on = asyncio.Event(), asyncio.Event()

    async def slow(_request: Request) -> PlainTextResponse:
        started.set()
        await go_on.wait()
        return PlainTextResponse("done")

    app = Starlette(routes=[Route("/", slow)])
    async with (
        asyncio.TaskGroup() as tasks,
        plain_client() as http,
        web.serve_app(app, "127.0.0.1", 0) as port,
    ):
        answer = tasks.create_task(http.get(f"http://127.0.0.1:{port}/"))
        await started.wait()
        asyncio.get_running_loop().call_later(0.05, go_on.set)

    assert answer.result().text == "done"
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"http://127.0.0.1:{port}/")


async def test_an_address_in_use_is_a_mistake_in_the_settings() -> None:
    app = Starlette()
    async with web.serve_app(app, "127.0.0.1", 0) as port:
        with pytest.raises(SettingsError, match=f"cannot listen on 127.0.0.1:{port}"):
            async with web.serve_app(app, "127.0.0.1", port):
                pass


def test_a_failure_beside_the_application_is_not_reported_as_its_crash(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def fail() -> None:
        async with web.serve_app(Starlette(), "127.0.0.1", 0):
            raise SettingsError(["X: is wrong"])

    with pytest.raises(ExceptionGroup) as caught:
        asyncio.run(fail())  # whose end cancels what is left

    assert caught.group_contains(SettingsError, match="X: is wrong")
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []


async def test_an_application_that_cannot_start_is_an_error(
    caplog: pytest.LogCaptureFixture,
) -> None:
    @contextlib.asynccontextmanager
    async def broken(app: Starlette) -> AsyncIterator[None]:
        yield app.state.missing

    app = Starlette(lifespan=broken)
    with pytest.raises(ExceptionGroup) as caught:
        async with web.serve_app(app, "127.0.0.1", 0):
            pass

    assert caught.group_contains(RuntimeError, match="did not start")


@pytest.mark.parametrize("before", [0, 1])
@pytest.mark.parametrize("head", [b"G", b"GET / HT"])
async def test_a_client_that_never_finishes_a_head_is_disconnected(
    before: int, head: bytes, client: httpx.AsyncClient
) -> None:
    async with asyncio.timeout(20):
        reader, writer = await asyncio.open_connection("127.0.0.1", client.base_url.port)
        for _ in range(before):
            writer.write(b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n")
            await reader.readuntil(b"\r\n\r\nok")
        writer.write(head)
        rest = await reader.read(-1)
        writer.close()

    assert rest == b""
    assert (await client.get("/livez")).text == "ok"


async def test_a_client_that_sends_nothing_is_disconnected(client: httpx.AsyncClient) -> None:
    async with asyncio.timeout(20):
        reader, writer = await asyncio.open_connection("127.0.0.1", client.base_url.port)
        assert await reader.read(-1) == b""
        writer.close()


async def test_a_client_with_a_request_now_and_then_keeps_its_connection(
    client: httpx.AsyncClient,
) -> None:
    async with asyncio.timeout(20):
        reader, writer = await asyncio.open_connection("127.0.0.1", client.base_url.port)
        for _ in range(round(1.5 * HEAD_S / 0.05)):
            writer.write(b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n")
            assert (await reader.readuntil(b"\r\n\r\nok")).startswith(b"HTTP/1.1 200")
            await asyncio.sleep(0.05)
        writer.close()
