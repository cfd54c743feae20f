"""Failure detector: for how long a ping has no answer."""

from towonel.tunnel.core.failure_detector import FailureDetector


def test_a_peer_that_was_not_pinged_owes_nothing() -> None:
    detector = FailureDetector()

    assert detector.needs_ping(last_received_at=0)
    assert detector.unanswered_s(last_received_at=0, now=100) == 0


def test_a_peer_owes_an_answer_since_the_first_ping_without_one() -> None:
    detector = FailureDetector()
    detector.record_ping(10)

    assert not detector.needs_ping(last_received_at=9)
    assert detector.unanswered_s(last_received_at=9, now=10.5) == 0.5


def test_a_sign_of_life_is_an_answer_and_another_ping_is_needed() -> None:
    detector = FailureDetector()
    detector.record_ping(10)

    assert detector.needs_ping(last_received_at=10)
    assert detector.unanswered_s(last_received_at=10, now=100) == 0
    detector.record_ping(100)
    assert not detector.needs_ping(last_received_at=99)
    assert detector.unanswered_s(last_received_at=99, now=100.5) == 0.5
