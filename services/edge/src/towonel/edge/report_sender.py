"""Tell the hub, every few seconds, what is live here.

A view for people: nobody is served differently because of it. So nothing that goes wrong here ends
anything, and while the hub is away there is one line in the log.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable
from random import Random
from typing import Protocol

import structlog

from towonel.api.reports import EdgeReport, EdgeReportOut
from towonel.edge.metrics import Metrics
from towonel.edge.report_builder import ReportBuilder
from towonel.identity.keys import NodeKey
from towonel.runtime.backoff import Backoff
from towonel.wire.errors import Code, TowonelError, Unavailable

log: structlog.stdlib.BoundLogger = structlog.get_logger()

FIRST_PAUSE_S, MAX_PAUSE_S = 1.0, 10.0  # a hub that is back sees this edge again within these
MAX_ASKED_PAUSE_S = 60.0  # what a hub in need may ask for
JITTER = 0.1  # of the interval: edges that started together do not report together for ever
FINAL_REPORT_S = 1.0

type Sleep = Callable[[float], Awaitable[None]]


class ReportReceiver(Protocol):
    """What the reporter asks of a hub; `towonel.client.hub.HubClient` is one."""

    async def report_edge(self, edge: NodeKey, report: EdgeReport) -> EdgeReportOut:
        """Take a report."""
        ...


class ReportSender:
    """One edge's reports.

    Args:
        hub: who is told.
        key: the edge's.
        observer: makes the reports.
        metrics: counts them.
        rng: spreads the reports of many edges.
        sleep: waits for so many seconds.
    """

    def __init__(
        self,
        hub: ReportReceiver,
        key: NodeKey,
        observer: ReportBuilder,
        metrics: Metrics,
        *,
        rng: Random,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._hub = hub
        self._key = key
        self._observer = observer
        self._metrics = metrics
        self._rng = rng
        self._sleep = sleep
        self._failure: Code | None = None

    async def report_forever(self) -> None:
        """Report as often as the hub wants it; while it does not answer, keep trying."""
        backoff = Backoff(FIRST_PAUSE_S, MAX_PAUSE_S)
        pause_s = backoff.next_delay(self._rng)  # the edge registers meanwhile
        while True:
            await self._sleep(pause_s)
            try:
                interval_s = await self._tell(await self._observer.build())
            except Exception as error:  # noqa: BLE001 even our bug: clients are served on without
                self._on_failed(error)
                asked_s = error.retry_after_s if isinstance(error, Unavailable) else None
                pause_s = max(backoff.next_delay(self._rng), min(asked_s or 0.0, MAX_ASKED_PAUSE_S))
            else:
                backoff.record_success(0)
                self._on_recovered()
                pause_s = interval_s * self._rng.uniform(1 - JITTER, 1 + JITTER)

    async def report_final(self) -> None:
        """Report once more, that nothing is live here now; a hub that does not answer misses it."""
        try:
            async with asyncio.timeout(FINAL_REPORT_S):
                await self._tell(await self._observer.build_final())
        except Exception as error:  # noqa: BLE001 as above
            log.debug("report.last_lost", error=type(error).__name__)

    async def _tell(self, report: EdgeReport) -> float:
        answer = await self._hub.report_edge(self._key, report)
        self._metrics.reports.labels(Code.NORMAL.word).inc()
        return answer.next_interval_secs

    def _on_failed(self, error: Exception) -> None:
        if isinstance(error, TowonelError):
            code, detail, bug = error.code, error.detail, None
        else:
            code, detail, bug = Code.INTERNAL, type(error).__name__, error
        self._metrics.reports.labels(code.word).inc()
        if code is not self._failure:
            log.warning("report.lost", code=code.word, detail=detail, exc_info=bug)
        self._failure = code

    def _on_recovered(self) -> None:
        if self._failure is not None:
            log.info("report.accepted")
        self._failure = None


@contextlib.asynccontextmanager
async def send_reports(reporter: ReportSender) -> AsyncGenerator[None]:
    """Report for the time of the block, and once more at its end."""
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(reporter.report_forever())
        try:
            yield
        finally:
            task.cancel()
    await reporter.report_final()
