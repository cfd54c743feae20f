"""Stability of a worker: three ends within five minutes are too many, and half a minute of one process is calm."""

from hypothesis import given
from hypothesis import strategies as st

from towonel.relay.core.worker_stability import StabilityLimits, WorkerStability


def ended(*moments: float) -> WorkerStability:
    worker = WorkerStability()
    for moment in moments:
        worker.note_start(moment)
        worker.note_end(moment)
    return worker


def test_a_worker_that_ends_twice_is_stable() -> None:
    worker = ended(0, 1)

    assert not worker.is_unstable(1)
    assert not worker.is_failing(1)
    assert worker.find_change(1) is None


def test_a_worker_is_unstable_from_its_third_end_until_the_first_of_these_is_long_ago() -> None:
    worker = ended(0, 100, 299)

    assert worker.is_unstable(299)
    assert worker.find_change(299) == 300
    assert not worker.is_unstable(300)


def test_ends_that_are_far_apart_are_none_of_the_same_cause() -> None:
    assert not ended(0, 150, 300).is_unstable(300)


def test_only_the_last_three_ends_count() -> None:
    worker = ended(0, 1, 2, 250, 299.5)

    assert worker.is_unstable(301)
    assert not worker.is_unstable(302)


def test_an_unstable_worker_fails_until_its_process_has_lasted_half_a_minute() -> None:
    worker = ended(0, 1, 2)
    assert worker.is_failing(3), "nothing runs"
    assert worker.find_change(3) == 300
    worker.note_start(5)

    assert worker.is_failing(34.9)
    assert worker.find_change(6) == 35
    assert not worker.is_failing(35)
    assert worker.is_unstable(35)
    assert worker.find_change(35) == 300


def test_a_worker_that_ends_after_it_lasted_fails_again() -> None:
    worker = ended(0, 1, 2)
    worker.note_start(5)
    worker.note_end(60)

    assert worker.is_failing(60)


def test_a_worker_that_cannot_be_started_fails_too() -> None:
    worker = WorkerStability(StabilityLimits(ends=2))
    worker.note_end(0)
    worker.note_end(1)

    assert worker.is_failing(1)


@given(
    st.lists(st.tuples(st.booleans(), st.floats(0, 200)), max_size=20),
    st.floats(0, 700),
)
def test_no_answer_changes_before_the_moment_that_is_told(
    events: list[tuple[bool, float]], later_s: float
) -> None:
    worker, now = WorkerStability(), 0.0
    for is_end, pause_s in events:
        now += pause_s
        (worker.note_end if is_end else worker.note_start)(now)
    change, later = worker.find_change(now), now + later_s
    before = worker.is_unstable(now), worker.is_failing(now)

    assert not worker.is_failing(later) or worker.is_unstable(later)
    if change is None or later < change:
        assert (worker.is_unstable(later), worker.is_failing(later)) == before
    if change is not None:
        assert (worker.is_unstable(change), worker.is_failing(change)) != before
