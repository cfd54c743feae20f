"""Failure detector: when a peer that was pinged counts as silent."""

from towonel.tunnel.core.failure_detector import FailureDetector


def test_a_peer_that_was_not_pinged_is_not_silent() -> None:
    detector = FailureDetector(0.4)

    assert detector.needs_ping(last_received_at=0)
    assert not detector.is_silent(last_received_at=0, now=100)


def test_a_peer_is_silent_once_a_ping_is_unanswered_for_so_long() -> None:
    detector = FailureDetector(0.5)
    detector.record_ping(10)

    assert not detector.needs_ping(last_received_at=9)
    assert not detector.is_silent(last_received_at=9, now=10.25)
    assert detector.is_silent(last_received_at=9, now=10.5)


def test_a_sign_of_life_ends_the_silence_and_another_ping_is_needed() -> None:
    detector = FailureDetector(0.5)
    detector.record_ping(10)

    assert detector.needs_ping(last_received_at=10)
    assert not detector.is_silent(last_received_at=10, now=100)
    detector.record_ping(100)
    assert not detector.needs_ping(last_received_at=99)
    assert detector.is_silent(last_received_at=99, now=100.5)
