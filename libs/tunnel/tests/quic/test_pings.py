"""Pings: one at a time, few without an answer, and the round trip."""

import pytest

from towonel.tunnel.core.failure_detector import FailureDetector
from towonel.tunnel.quic.pings import INITIAL_RTT_S, MAX_UNANSWERED, Pings


def test_a_ping_is_sent_once_every_earlier_one_is_answered() -> None:
    sent: list[int] = []
    detector = FailureDetector()
    pings = Pings(sent.append, detector)
    pings.ask(10, last_received_at=9)
    pings.ask(11, last_received_at=9)
    assert sent == [1]
    pings.ask(12, last_received_at=11.5)

    assert sent == [1, 2]
    assert detector.unanswered_s(11.5, 13) == 1


def test_callers_at_once_share_an_answer() -> None:
    sent: list[int] = []
    pings = Pings(sent.append, FailureDetector())
    pings.ask(10, last_received_at=9)
    pings.ask(10.05, last_received_at=10.01)

    assert sent == [1]


def test_a_peer_that_acknowledges_nothing_is_not_pinged_without_end() -> None:
    sent: list[int] = []
    pings = Pings(sent.append, FailureDetector())
    for now in range(1000):
        pings.ask(now, last_received_at=now)

    assert len(sent) == MAX_UNANSWERED


def test_the_round_trip_is_the_first_and_follows_later_ones() -> None:
    pings = Pings(lambda _: None, FailureDetector())
    assert pings.rtt_s == INITIAL_RTT_S
    for now, answered in ((10, 10.4), (20, 20.8)):
        pings.ask(now, last_received_at=now - 1)
        pings.measure(now // 10, answered)
    pings.measure(77, 100)

    assert pings.rtt_s == pytest.approx(0.5)
