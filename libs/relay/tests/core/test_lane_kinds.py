"""Choice of the kind of lanes: TLS where plain ones fail, back when they work, and never from TLS to plain."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from towonel.relay.core.lane_kinds import KindChoice, LaneKind

PLAIN, TLS = LaneKind.PLAIN, LaneKind.TLS


def fail(choice: KindChoice, times: int) -> list[bool]:
    return [choice.note_failure(choice.kind) for _ in range(times)]


def test_three_failures_of_plain_lanes_lead_to_tls_and_three_of_these_to_streams() -> None:
    choice = KindChoice((PLAIN, TLS))
    kinds: list[LaneKind] = []
    told: list[bool] = []
    for _ in range(10):
        kinds.append(choice.kind)
        told += fail(choice, 1)

    assert kinds == [PLAIN] * 3 + [TLS] * 3 + [PLAIN, TLS, PLAIN, TLS]
    assert told == [False] * 5 + [True] + [False] * 4


def test_dials_are_soon_until_no_kind_works_and_rare_then() -> None:
    choice = KindChoice((PLAIN, TLS))
    waits: list[float] = []
    for _ in range(8):
        fail(choice, 1)
        waits.append(choice.redial_after_s(0))

    assert waits == [0.5, 1.0, 0.5, 0.5, 1.0, 60, 120, 240]


def test_one_kind_alone_is_dialed_soon_twice_and_then_rarely() -> None:
    choice = KindChoice((PLAIN,))
    waits: list[float] = []
    for _ in range(4):
        fail(choice, 1)
        waits.append(choice.redial_after_s(0))

    assert waits == [0.5, 1.0, 60, 120]


def test_the_kind_that_works_stays_and_the_preferred_one_is_tried_now_and_then() -> None:
    choice = KindChoice((PLAIN, TLS))
    fail(choice, 3)
    assert not choice.preferred

    choice.note_working(TLS)
    assert (choice.kind, choice.preferred, choice.failures) == (TLS, PLAIN, 0)
    assert choice.retry_after_s(0) == 60
    assert not choice.note_failure(PLAIN)
    assert (choice.kind, choice.failures, choice.retry_after_s(0)) == (TLS, 0, 120)

    choice.note_working(PLAIN)
    assert (choice.kind, choice.preferred) == (PLAIN, None)


def test_a_plain_lane_that_fails_late_is_no_failure_of_tls() -> None:
    choice = KindChoice((PLAIN, TLS))
    fail(choice, 3)

    assert not choice.note_failure(PLAIN)
    assert choice.failures == 3


EVENTS = st.lists(st.sampled_from(["fails", "works"]), max_size=40)


@given(EVENTS)
def test_lanes_that_are_to_be_inside_tls_are_never_plain(events: list[str]) -> None:
    choice = KindChoice((TLS,))
    for event in events:
        assert choice.kind is TLS
        assert not choice.preferred
        if event == "fails":
            choice.note_failure(choice.kind)
        else:
            choice.note_working(choice.kind)


@pytest.mark.branches
@given(EVENTS)
def test_it_is_said_once_that_no_kind_works(events: list[str]) -> None:
    choice, in_a_row = KindChoice((PLAIN, TLS)), 0
    for event in events:
        if event == "fails":
            in_a_row += 1
            assert choice.note_failure(choice.kind) == (in_a_row == 6)
        else:
            in_a_row = 0
            choice.note_working(choice.kind)


def test_a_wait_is_ten_minutes_at_most() -> None:
    choice = KindChoice((PLAIN, TLS))
    fail(choice, 99)

    assert choice.redial_after_s(1) == 600


@pytest.mark.parametrize(("kind", "word"), [(PLAIN, "lane"), (TLS, "tls_lane")])
def test_a_kind_has_its_word(kind: LaneKind, word: str) -> None:
    assert str(kind) == word
