"""Admin server of a process: /livez, /readyz, /metrics and /version."""

import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from threading import active_count
from typing import override

from prometheus_client import CollectorRegistry, Gauge, ProcessCollector, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.registry import Collector
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from towonel.runtime.web import DEFAULT_TIMING, WebTiming, serve_app

_STOPPING = "stopping"


@dataclass
class Health:
    """Health checks by name; the process is ready while all of them hold and it is not stopping."""

    _reasons: dict[str, str] = field(default_factory=dict[str, str])
    _degraded: dict[str, str] = field(default_factory=dict[str, str])
    _ever_degraded: set[str] = field(default_factory=set[str])

    def set_degraded(self, what: str, *, reason: str | None) -> None:
        """Record that something works, but worse, and why; without a reason, that it works well."""
        if reason is None:
            self._degraded.pop(what, None)
        else:
            self._degraded[what] = reason
            self._ever_degraded.add(what)

    def set(self, check: str, *, ok: bool, reason: str = "") -> None:
        """Record whether a check holds, and if not, why."""
        if ok:
            self._reasons.pop(check, None)
        else:
            self._reasons[check] = reason or "not yet"

    def start_draining(self) -> None:
        """Record that the process is about to end: it never gets ready again."""
        self._reasons[_STOPPING] = "draining"

    @property
    def ready(self) -> bool:
        """Whether work should be sent here."""
        return not self._reasons

    @property
    def reasons(self) -> Mapping[str, str]:
        """Reasons for not being ready, by check; and of what is degraded, which does not prevent it."""
        return self._degraded | self._reasons

    @property
    def degraded(self) -> Mapping[str, bool]:
        """Whether it is degraded now, by each thing that ever was."""
        return {what: what in self._degraded for what in sorted(self._ever_degraded)}


class HealthCollector(Collector):
    """Collector of two metrics of a process's health: ready, and what is degraded."""

    def __init__(self, health: Health, prefix: str) -> None:
        self._health = health
        self._prefix = prefix

    @override
    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield `PREFIX_ready`, and `PREFIX_degraded` for each thing that ever was."""
        ready = "1 while /readyz answers 200, else 0."
        yield GaugeMetricFamily(f"{self._prefix}_ready", ready, int(self._health.ready))
        degraded = GaugeMetricFamily(
            f"{self._prefix}_degraded",
            "1 while something works, but worse: see /readyz.",
            None,
            ["check"],
        )
        for what, now in self._health.degraded.items():
            degraded.add_metric([what], int(now))
        yield degraded


def register_process_metrics(registry: CollectorRegistry) -> None:
    """Register what this process uses: processor time, memory, files and threads."""
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
    about: Mapping[str, str],
    variable: str = "",
    aliases: tuple[str, ...] = (),
    timing: WebTiming = DEFAULT_TIMING,
) -> AsyncGenerator[int]:
    """Serve health and metrics while the context lasts; yields the port.

    Args:
        host: where to listen; nothing here is secret, but it need not be public.
        port: 0 lets the system choose.
        health: what /readyz shows.
        registry: what /metrics shows.
        about: what /version says; its `name`, of the process, is also for the names of its health's metrics.
        variable: that names the address.
        aliases: further paths that answer as /livez does.
        timing: timers of the web server.

    Raises:
        SettingsError: if the address cannot be bound; it names `variable`.
    """
    prefix = f"towonel_{about['name'].removeprefix('towonel-')}"
    registry.register(HealthCollector(health, prefix))
    app = _make_app(health, registry, about, aliases)
    async with serve_app(
        app, host, port, variable=variable, drain_s=1, concurrency=64, timing=timing
    ) as bound:
        yield bound


def _make_app(
    health: Health, registry: CollectorRegistry, about: Mapping[str, str], aliases: tuple[str, ...]
) -> Starlette:
    paths: dict[str, Callable[[Request], Awaitable[Response]]] = {
        "/readyz": partial(_answer_readyz, health),
        "/metrics": partial(_answer_metrics, registry),
        "/version": partial(_answer_json, about),
    }
    paths |= dict.fromkeys(("/livez", *aliases), _answer_livez)
    app = Starlette()
    for path, answer in paths.items():
        app.add_route(path, answer)
    return app


async def _answer_livez(_request: Request) -> Response:
    return PlainTextResponse("ok")


async def _answer_readyz(health: Health, _request: Request) -> Response:
    word = "not ready" if not health.ready else "degraded" if health.reasons else "ready"
    body = {"status": word, "reasons": dict(health.reasons)}
    return JSONResponse(body, 200 if health.ready else 503)


async def _answer_metrics(registry: CollectorRegistry, _request: Request) -> Response:
    return Response(generate_latest(registry), media_type=CONTENT_TYPE_PLAIN_0_0_4)


async def _answer_json(body: Mapping[str, str], _request: Request) -> Response:
    return JSONResponse(body)
