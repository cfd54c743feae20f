"""Sender of the edge's periodic reports to the hub.

Reports are for people to look at, and no client is served differently because of them. So a failure
here ends nothing, and a hub that stays unreachable causes one line in the log.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable, Coroutine, Sequence
from random import Random
from typing import Protocol

import structlog

from towonel.api.certificates.reports import CertificateRequest
from towonel.api.reports import EdgeReport, EdgeReportOut
from towonel.edge.metrics import Metrics
from towonel.edge.report_builder import ReportBuilder
from towonel.edge.timing import ReportTiming
from towonel.identity.keys import NodeKey
from towonel.runtime.backoff import Backoff
from towonel.wire.errors import Code, Denied, TowonelError, Unavailable

log: structlog.stdlib.BoundLogger = structlog.get_logger()

PATIENCE = 5  # failures, some 20 s, before a hub that has never answered is more than starting
JITTER = 0.1  # of the interval: edges that started together do not report together for ever

type Sleep = Callable[[float], Coroutine[None, None, None]]


class ReportReceiver(Protocol):
    """Receiver of reports; `towonel.client.hub.HubClient` is one."""

    async def report_edge(self, edge: NodeKey, report: EdgeReport) -> EdgeReportOut:
        """Take a report."""
        ...


LEARNED_S = 1.0  # until the next report, once the hub has said that it takes certificates
SILENT_S = 1.0  # between looks at whether it is time to report


class ReportSender:
    """Sender of one edge's reports.

    Args:
        hub: where the reports go.
        key: the edge's.
        builder: makes the reports.
        has_ended: is set when a session has ended, and brings the next report forward.
        metrics: counts them.
        take_requests: takes what people ask of certificates; the hub tells it once.
        rng: spreads the reports of many edges.
        timing: the timers.
        sleep: waits for so many seconds.
    """

    def __init__(
        self,
        hub: ReportReceiver,
        key: NodeKey,
        builder: ReportBuilder,
        has_ended: asyncio.Event,
        metrics: Metrics,
        take_requests: Callable[[Sequence[CertificateRequest]], None],
        *,
        rng: Random,
        timing: ReportTiming,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._hub = hub
        self._key = key
        self._builder = builder
        self._has_ended = has_ended
        self._metrics = metrics
        self._take_requests = take_requests
        self._rng = rng
        self._timing = timing
        self._sleep = sleep
        self._failure: Code | None = None
        self._was_accepted = False
        self._failures = 0  # in a row

    async def report_forever(self) -> None:
        """Report as often as the hub wants it; while it does not answer, keep trying."""
        timing = self._timing
        backoff = Backoff(timing.first_pause_s, timing.max_pause_s)
        await self._sleep(backoff.next_delay(self._rng))  # the edge registers meanwhile
        while True:
            self._has_ended.clear()
            try:
                interval_s = SILENT_S
                if not self._builder.is_silent:
                    interval_s = await self._send(await self._builder.build())
            except Exception as error:  # noqa: BLE001 even our bug: clients are served on without
                self._on_failed(error)
                retry_after_s = error.retry_after_s if isinstance(error, Unavailable) else None
                retry_after_s = min(retry_after_s or 0.0, timing.max_requested_pause_s)
                await self._sleep(max(backoff.next_delay(self._rng), retry_after_s))
            else:
                backoff.record_success(0)
                self._on_recovered()
                await self._pause(interval_s * self._rng.uniform(1 - JITTER, 1 + JITTER))

    async def _pause(self, interval_s: float) -> None:
        """Wait for the next report's time, which the end of a session brings forward."""
        async with asyncio.TaskGroup() as tasks:
            waits = [
                tasks.create_task(self._sleep(interval_s)),
                tasks.create_task(self._wait_ended()),
            ]
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            for wait in waits:
                wait.cancel()

    async def _wait_ended(self) -> None:
        await asyncio.sleep(self._timing.after_end_s)
        await self._has_ended.wait()

    async def report_final(self) -> None:
        """Report that no session is live here now; a hub that does not answer misses it."""
        if self._builder.is_silent:
            return
        try:
            async with asyncio.timeout(self._timing.final_report_s):
                await self._send(await self._builder.build_final())
        except Exception as error:  # noqa: BLE001 as above
            log.debug("report.final_failed", error=type(error).__name__)

    async def _send(self, report: EdgeReport) -> float:
        try:
            answer = await self._hub.report_edge(self._key, report)
        except Denied:
            self._builder.takes_certificates = False  # the hub may be of an older version now
            raise
        self._metrics.reports.labels(Code.NORMAL.word).inc()
        self._take_requests(answer.certificate_requests or ())
        takes = answer.certificate_requests is not None
        took, self._builder.takes_certificates = self._builder.takes_certificates, takes
        return LEARNED_S if takes and not took else answer.next_interval_secs

    def _on_failed(self, error: Exception) -> None:
        if isinstance(error, TowonelError):
            code, detail, bug = error.code, error.detail, None
        else:
            code, detail, bug = Code.INTERNAL, type(error).__name__, error
        self._metrics.reports.labels(code.word).inc()
        self._failures += 1
        may_be_starting = not self._was_accepted and self._failures < PATIENCE
        if code is Code.HUB_UNAVAILABLE and may_be_starting:
            return
        if code is not self._failure:
            log.warning("report.failed", code=code.word, detail=detail, exc_info=bug)
        self._failure = code

    def _on_recovered(self) -> None:
        if self._failure is not None:
            log.info("report.accepted")
        self._failure, self._failures, self._was_accepted = None, 0, True


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
