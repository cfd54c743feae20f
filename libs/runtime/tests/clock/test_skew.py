"""Report of a wrong clock: as soon as it is wrong, until it is right, and once in the log."""

import pytest
from prometheus_client import CollectorRegistry, Gauge
from structlog.testing import capture_logs

from towonel.runtime.admin import Health
from towonel.runtime.clock.skew import CLOCK, RIGHT_MS, SKEWED_MS, ClockSkew

LIMIT_MS = 300_000


class Reported:
    """A report, and what it says where."""

    def __init__(self) -> None:
        self.health, self.registry = Health(), CollectorRegistry()
        gauge = Gauge("skew_seconds", "Skew.", registry=self.registry)
        self.skew = ClockSkew("the server", self.health, gauge, LIMIT_MS)

    @property
    def seconds(self) -> float | None:
        return self.registry.get_sample_value("skew_seconds")

    @property
    def reason(self) -> str:
        return self.health.reasons.get(CLOCK, "")


def test_a_clock_that_is_about_right_is_a_metric_and_nothing_else() -> None:
    reported = Reported()
    with capture_logs() as lines:
        for skew_ms in (0, SKEWED_MS - 1, 1 - SKEWED_MS):
            reported.skew.record(skew_ms)

    assert (reported.seconds, reported.reason, lines) == ((1 - SKEWED_MS) / 1000, "", [])
    assert reported.skew.skew_ms == 1 - SKEWED_MS


@pytest.mark.parametrize(
    ("skew_ms", "words"),
    [(240_999, "240 s ahead of the server's"), (-SKEWED_MS, "10 s behind the server's")],
)
def test_a_wrong_clock_degrades_the_process_which_goes_on(skew_ms: int, words: str) -> None:
    reported = Reported()
    reported.skew.record(skew_ms)

    assert words in reported.reason
    assert "more than 300 s" in reported.reason
    assert reported.health.ready
    assert reported.seconds == skew_ms / 1000


def test_the_log_has_one_line_when_a_clock_is_wrong_and_one_when_it_is_right_again() -> None:
    reported = Reported()
    with capture_logs() as lines:
        for skew_ms in (240_000, 120_000, RIGHT_MS, RIGHT_MS - 1, SKEWED_MS - 1):
            reported.skew.record(skew_ms)

    assert [line["event"] for line in lines] == ["clock.skewed", "clock.corrected"]
    assert lines[0]["skew_s"] == 240
    assert reported.reason == ""
