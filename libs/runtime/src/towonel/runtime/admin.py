"""The address where a process tells how it is: /livez, /readyz, /metrics and /version."""

import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from threading import active_count

from prometheus_client import CollectorRegistry, Gauge, ProcessCollector, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from towonel.runtime.web import serve_app

_STOPPING = "stopping"


@dataclass
class Health:
    """Named checks; the process is ready while every one holds and it is not stopping."""

    _reasons: dict[str, str] = field(default_factory=dict[str, str])
    _degraded: dict[str, str] = field(default_factory=dict[str, str])

    def set_degraded(self, what: str, *, reason: str | None) -> None:
        """Say that something works, but worse, and why; none: as it should."""
        if reason is None:
            self._degraded.pop(what, None)
        else:
            self._degraded[what] = reason

    def set(self, check: str, *, ok: bool, reason: str = "") -> None:
        """Say whether a check holds, and why not."""
        if ok:
            self._reasons.pop(check, None)
        else:
            self._reasons[check] = reason or "not yet"

    def start_draining(self) -> None:
        """Say that the process is about to end: it never gets ready again."""
        self._reasons[_STOPPING] = "draining"

    @property
    def ready(self) -> bool:
        """Whether work should be sent here."""
        return not self._reasons

    @property
    def reasons(self) -> Mapping[str, str]:
        """Why not, by check; what is degraded is told, and keeps nobody from being ready."""
        return self._degraded | self._reasons


def register_process_metrics(registry: CollectorRegistry) -> None:
    """Put into a registry what its process uses: processor time, memory, files and threads."""
    ProcessCollector(registry=registry)
    threads = Gauge("process_threads", "Threads of this process.", registry=registry)
    threads.set_function(active_count)  # which the collector leaves out


@contextlib.asynccontextmanager
async def serve(
    host: str,
    port: int,
    health: Health,
    registry: CollectorRegistry,
    *,
    name: str,
    version: str,
    aliases: tuple[str, ...] = (),
) -> AsyncGenerator[int]:
    """Serve health and metrics while the context lasts; yields the port.

    Args:
        host: where to listen; nothing secret is told here, but it need not be public.
        port: 0 lets the system choose.
        health: what /readyz tells.
        registry: what /metrics shows.
        name: of the process, for /version.
        version: of the process.
        aliases: further paths that answer as /livez does.

    Raises:
        SettingsError: where the address cannot be had.
    """
    paths: dict[str, Callable[[Request], Awaitable[Response]]] = {
        "/readyz": partial(_readyz, health),
        "/metrics": partial(_metrics, registry),
        "/version": partial(_json, {"name": name, "version": version}),
    }
    paths |= dict.fromkeys(("/livez", *aliases), _livez)
    app = Starlette()
    for path, answer in paths.items():
        app.add_route(path, answer)
    async with serve_app(app, host, port, drain_s=1, concurrency=64) as bound:
        yield bound


async def _livez(_request: Request) -> Response:
    return PlainTextResponse("ok")


async def _readyz(health: Health, _request: Request) -> Response:
    word = "not ready" if not health.ready else "degraded" if health.reasons else "ready"
    body = {"status": word, "reasons": dict(health.reasons)}
    return JSONResponse(body, 200 if health.ready else 503)


async def _metrics(registry: CollectorRegistry, _request: Request) -> Response:
    return Response(generate_latest(registry), media_type=CONTENT_TYPE_PLAIN_0_0_4)


async def _json(body: Mapping[str, str], _request: Request) -> Response:
    return JSONResponse(body)
