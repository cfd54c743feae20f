"""Sender of reports to a hub that is reachable, unreachable, overloaded, or gone for good."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, field
from random import Random

import httpx
import pytest
from pydantic import ValidationError
from pydantic_core import to_json
from structlog.testing import capture_logs
from structlog.typing import EventDict

from towonel.api.certificates.reports import CertificateReport, CertificateRequest
from towonel.api.reports import EdgeReport
from towonel.client.hub import HubClient
from towonel.edge.core.balance import Balancer
from towonel.edge.core.route_table import RouteTable
from towonel.edge.core.session_ways import Lanes
from towonel.edge.core.traffic import Traffic
from towonel.edge.metrics import Metrics
from towonel.edge.report_builder import ReportBuilder
from towonel.edge.report_sender import ReportSender, Sleep, send_reports
from towonel.edge.sessions import Sessions
from towonel.edge.timing import ReportTiming
from towonel.identity.keys import NodeKey
from towonel.identity.signatures import Domain, Signature
from towonel.wire.ids import TenantId

type Counted = Callable[..., float]
type Answer = tuple[int, bytes, dict[str, str]] | httpx.HTTPError | None  # None: it never comes

TENANT = TenantId(b"t" * 32)
EDGE = NodeKey.from_seed(b"e" * 32)
NOW_MS = 1_800_000_000_000
TIMING = ReportTiming(final_report_s=0.05, after_end_s=0.05)


@dataclass
class Hub:
    """Answers each report with what `answers` has next, and then always with the last one."""

    answers: list[Answer]
    reports: list[EdgeReport] = field(default_factory=list[EdgeReport])

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        signature = Signature.parse(request.headers["authorization"])
        signature.check_node(Domain.EDGE_REPORT, request.content, NOW_MS)
        assert (signature.id, request.url.path) == (EDGE.public, "/v1/edges/report")
        self.reports.append(EdgeReport.model_validate_json(request.content))
        match answer:
            case (status, body, headers):
                return httpx.Response(status, stream=httpx.ByteStream(body), headers=headers)
            case httpx.HTTPError():
                raise answer
            case None:
                await asyncio.Event().wait()
        raise AssertionError("waited for ever")


@dataclass
class Pauses:
    """A sleep that takes no time, for so many times; then it is `over`, and takes for ever."""

    most: int
    taken: list[float] = field(default_factory=list[float])
    over: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self, seconds: float) -> None:
        if len(self.taken) == self.most:
            self.over.set()
            await asyncio.Event().wait()
        self.taken.append(seconds)
        await asyncio.sleep(0)


def taken(interval_s: int = 10, **more: object) -> Answer:
    return 200, to_json({"next_interval_secs": interval_s, **more}), {}


def refused(status: int, code: str, retry_after: str = "") -> Answer:
    body = to_json({"error": {"code": code, "message": ""}})
    return status, body, {"retry-after": retry_after}


async def certificates() -> list[CertificateReport]:
    return [CertificateReport(hostname="a.example.eu", state="valid")]


def builder_of(metrics: Metrics, traffic: Traffic | None = None) -> ReportBuilder:
    sessions = Sessions(RouteTable(), Balancer(), metrics)
    return ReportBuilder(
        *(sessions, traffic or Traffic(), metrics, lambda _: Lanes(0, 0, 0), tuple, certificates),
        clock=lambda: 0.0,
        engine="python",
        skew_of=lambda: None,
    )


@contextlib.asynccontextmanager
async def sender_to(
    hub: Hub,
    metrics: Metrics,
    pauses: Sleep,
    traffic: Traffic | None = None,
    has_ended: asyncio.Event | None = None,
    requests: list[CertificateRequest] | None = None,
) -> AsyncGenerator[ReportSender]:
    transport = httpx.MockTransport(hub)
    async with HubClient("http://localhost", transport=transport, now_ms=lambda: NOW_MS) as client:
        yield ReportSender(
            client,
            EDGE,
            builder_of(metrics, traffic),
            has_ended or asyncio.Event(),
            metrics,
            requests.extend if requests is not None else lambda _: None,
            rng=Random(1),
            timing=TIMING,
            sleep=pauses,
        )


async def run_reports(hub: Hub, metrics: Metrics, most: int) -> tuple[list[float], list[EventDict]]:
    """Report so many times; return the pauses before each, and what was logged."""
    pauses = Pauses(most)
    with capture_logs() as logs:
        async with sender_to(hub, metrics, pauses) as sender, asyncio.TaskGroup() as tasks:
            task = tasks.create_task(sender.report_forever())
            async with asyncio.timeout(20):
                await pauses.over.wait()
            task.cancel()
    return pauses.taken, [line for line in logs if line["log_level"] != "debug"]


async def test_the_end_of_a_session_brings_the_next_report_forward_but_not_a_refused_one(
    metrics: Metrics,
) -> None:
    pauses = Pauses(1)  # the first one is over at once, all others never
    hub, ended = Hub([taken(), taken(), refused(503, "hub_unavailable")]), asyncio.Event()
    async with (
        asyncio.timeout(20),
        sender_to(hub, metrics, pauses, has_ended=ended) as sender,
        asyncio.TaskGroup() as tasks,
    ):
        reporting = tasks.create_task(sender.report_forever())
        for count in (2, 3):
            while len(hub.reports) < count:
                ended.set()
                await asyncio.sleep(0.01)
        ended.set()
        await asyncio.wait([reporting], timeout=5 * TIMING.after_end_s)
        reporting.cancel()

    assert len(hub.reports) == 3


async def test_reports_follow_each_other_as_often_as_the_hub_wants_but_not_in_step(
    metrics: Metrics, counted: Counted
) -> None:
    hub = Hub([taken(10), taken(20), taken(1)])
    pauses, logs = await run_reports(hub, metrics, 4)

    assert 0.5 <= pauses[0] <= 1
    assert [round(pause, -1) for pause in pauses[1:3]] == [10, 20]
    assert 0.9 <= pauses[3] <= 1.1
    assert all(pause % 1 for pause in pauses)
    assert logs == []
    assert counted("reports_total", code="normal") == 4


async def test_an_unreachable_hub_costs_one_warning_and_is_asked_ever_less_often(
    metrics: Metrics, counted: Counted
) -> None:
    hub = Hub([*[httpx.ConnectError("refused")] * 6, taken()])
    pauses, logs = await run_reports(hub, metrics, 8)

    assert [line["event"] for line in logs] == ["report.failed", "report.accepted"]
    assert logs[0]["log_level"] == "warning"
    assert logs[0]["code"] == "hub_unavailable"
    assert pauses[1] < pauses[3] < pauses[5] <= TIMING.max_pause_s
    assert counted("reports_total", code="hub_unavailable") == 6
    assert counted("reports_total", code="normal") == 2


async def test_each_change_of_state_is_logged_once_and_success_forgets_the_failures(
    metrics: Metrics,
) -> None:
    away, unknown = httpx.ConnectError("refused"), refused(403, "edge_unknown")
    hub = Hub([taken(), away, away, unknown, unknown, taken(), away, taken()])
    pauses, logs = await run_reports(hub, metrics, 9)

    reported = " ".join(line.get("code", line["event"]) for line in logs)
    assert (
        reported == "hub_unavailable edge_unknown report.accepted hub_unavailable report.accepted"
    )
    assert pauses[7] <= 1.0


async def test_a_hub_that_starts_together_with_the_edge_is_no_warning(metrics: Metrics) -> None:
    hub = Hub([*[httpx.ConnectError("refused")] * 4, taken()])
    _, logs = await run_reports(hub, metrics, 6)

    assert logs == []


@pytest.mark.parametrize(
    ("requested", "least", "most"), [("20", 20, 20), ("3600", 60, 60), ("0", 0, 2)]
)
async def test_a_hub_in_need_is_left_alone_as_long_as_it_asks_within_reason(
    metrics: Metrics, requested: str, least: float, most: float
) -> None:
    hub = Hub([refused(429, "rate_limited", requested), taken()])
    pauses, _ = await run_reports(hub, metrics, 2)

    assert least <= pauses[1] <= most


async def test_an_invalid_answer_is_an_outage_too(metrics: Metrics) -> None:
    hub = Hub([taken(0), (200, b"junk", {}), taken()])
    _, logs = await run_reports(hub, metrics, 3)

    assert [line.get("code") for line in logs] == ["malformed", None]


async def test_a_bug_of_ours_is_logged_once_and_ends_nothing(
    metrics: Metrics, counted: Counted
) -> None:
    hub = Hub([taken()])
    metrics.connections_active.set(-1)
    _, logs = await run_reports(hub, metrics, 3)

    [line] = logs
    assert (line["code"], line["detail"]) == ("internal", "ValidationError")
    assert isinstance(line["exc_info"], ValidationError)
    assert counted("reports_total", code="internal") == 3
    assert hub.reports == []


async def test_the_last_report_has_the_traffic_and_no_session(
    metrics: Metrics,
) -> None:
    hub, traffic, pauses = Hub([taken()]), Traffic(), Pauses(1)
    async with sender_to(hub, metrics, pauses, traffic) as sender, send_reports(sender):
        async with asyncio.timeout(20):
            await pauses.over.wait()
        traffic.add((TENANT, "tcp:ssh"), bytes_out=7)

    assert [report.bytes_out for report in hub.reports] == [0, 7]
    assert hub.reports[-1].sessions == []


@pytest.mark.parametrize("answer", [None, httpx.ConnectError("refused")])
async def test_a_hub_that_does_not_take_the_last_report_delays_the_end_by_little(
    metrics: Metrics, answer: httpx.HTTPError | None
) -> None:
    hub = Hub([answer])
    async with (
        asyncio.timeout(20),
        sender_to(hub, metrics, Pauses(0)) as sender,
        send_reports(sender),
    ):
        pass

    assert len(hub.reports) == 1


async def test_an_edge_that_fails_sends_no_last_report(metrics: Metrics) -> None:
    hub = Hub([taken()])
    with pytest.RaisesGroup(KeyError):
        async with sender_to(hub, metrics, Pauses(0)) as sender, send_reports(sender):
            raise KeyError

    assert hub.reports == []


async def test_certificates_are_told_once_the_hub_says_that_it_takes_them_and_soon(
    metrics: Metrics,
) -> None:
    """One of an older version would refuse the whole report, as it does when it is put back."""
    takes, older = taken(certificate_requests=[]), taken()
    hub = Hub([older, takes, takes, older, takes, refused(400, "invalid_request"), older])
    pauses, _ = await run_reports(hub, metrics, 8)

    told = [len(report.certificates) for report in hub.reports]
    assert told == [0, 0, 1, 1, 0, 1, 0, 0]
    assert pauses[2] <= 1.1 < pauses[3]


async def test_what_people_ask_of_certificates_is_passed_on(metrics: Metrics) -> None:
    asked = {"hostname": "a.example.eu", "action": "renew", "reason": "unspecified"}
    hub, requests = Hub([taken(certificate_requests=[asked]), taken()]), list[CertificateRequest]()
    pauses = Pauses(2)
    async with (
        asyncio.timeout(20),
        sender_to(hub, metrics, pauses, requests=requests) as sender,
        send_reports(sender),
    ):
        await pauses.over.wait()

    assert [request.model_dump() for request in requests] == [asked]
