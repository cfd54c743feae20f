"""Shares of a session's lanes among workers: as many as are wanted, and who has failed."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from towonel.agent.core.lane_shares import LaneShares, divide_lanes
from towonel.wire.errors import Code

A, B, C = range(3)
FAILED = Code.SESSION_LOST
WANTED = st.integers(0, 3000)
IN_USE = st.lists(st.integers(0, 1000), min_size=1, max_size=64)


@pytest.mark.parametrize(
    ("wanted", "in_use", "first", "shares"),
    [
        (8, [0], 0, [8]),
        (8, [0, 0], 1, [4, 4]),
        (2, [0, 0, 0, 0], 3, [1, 0, 0, 1]),
        (9, [0, 3, 0, 0], 1, [2, 3, 2, 2]),
        (20, [12, 0, 1], 0, [12, 4, 4]),
        (21, [12, 1, 6], 0, [12, 3, 6]),
        (10, [9, 8, 1], 0, [5, 4, 1]),
        (0, [3, 1], 0, [0, 0]),
        (0, [], 0, []),
    ],
)
def test_shares_are_equal_unless_a_workers_clients_have_more(
    wanted: int, in_use: list[int], first: int, shares: list[int]
) -> None:
    assert divide_lanes(wanted, in_use, first) == shares


@given(WANTED, IN_USE, st.integers(0, 63))
def test_the_shares_are_as_many_as_are_wanted(wanted: int, in_use: list[int], first: int) -> None:
    shares = divide_lanes(wanted, in_use, first % len(in_use))

    assert sum(shares) == wanted
    assert min(shares) >= 0
    if wanted >= sum(in_use):
        assert all(share >= has for share, has in zip(shares, in_use, strict=True))
        free = [share for share, has in zip(shares, in_use, strict=True) if share > has]
        assert not free or max(free) <= min(shares) + 1
    else:
        assert all(share <= has for share, has in zip(shares, in_use, strict=True))


@given(IN_USE, st.integers(0, 63))
def test_each_worker_has_a_lane_where_that_many_are_wanted(in_use: list[int], first: int) -> None:
    shares = divide_lanes(sum(in_use) + len(in_use), in_use, first % len(in_use))

    assert min(shares) >= 1


@given(st.lists(st.integers(0, 30), min_size=1, max_size=6), st.integers(0, 20), st.randoms())
def test_what_the_edge_closes_is_not_dialed_again_and_again(
    in_use: list[int], spare: int, rng: random.Random
) -> None:
    """The edge wants some spare lanes, and closes those beyond: the ones that are idle for longest."""
    shares = divide_lanes(sum(in_use) + spare, in_use)
    idle = [rng.randrange(len(in_use)) for _ in range(40)]  # whose they are, the oldest first
    rounds = 0
    while missing := find_missing(shares, in_use, idle):
        idle = (idle + missing)[len(idle) + len(missing) - spare :]
        rounds += 1

        assert rounds <= 40, "each was closed once"


def find_missing(shares: list[int], in_use: list[int], idle: list[int]) -> list[int]:
    """The workers that dial, once for each lane that is missing."""
    return [
        worker
        for worker, share in enumerate(shares)
        for _ in range(share - in_use[worker] - idle.count(worker))
    ]


def change(shares: LaneShares, kind: str, worker: int, count: int) -> list[int]:
    match kind:
        case "want":
            return shares.want(count)
        case "use":
            return shares.note_in_use(worker, count)
        case "fail":
            return shares.note_failure(worker, FAILED)
        case "work":
            return shares.note_working(worker)
        case _:
            return shares.forget(worker)


@given(st.integers(1, 5), st.data())
def test_shares_are_as_many_as_are_wanted_whatever_happens_to_workers(
    workers: int, data: st.DataObject
) -> None:
    """Each change names the workers whose share it changes, and no others."""
    kinds = st.sampled_from(("want", "use", "fail", "work", "forget"))
    changes = st.lists(st.tuples(kinds, st.integers(0, workers - 1), st.integers(0, 40)))
    shares, wanted = LaneShares(workers, first=0, wanted=2), 2
    for kind, worker, count in data.draw(changes):
        before = list(shares.shares)
        changed = change(shares, kind, worker, count)
        wanted = count if kind == "want" else wanted

        assert sum(shares.shares) == wanted
        assert min(shares.shares) >= 0
        assert changed == [n for n in range(workers) if shares.shares[n] != before[n]]


def test_a_worker_that_is_gone_has_its_share_again() -> None:
    shares = LaneShares(2, first=A, wanted=20)
    assert shares.note_in_use(B, 15) == [A, B]
    assert shares.shares == [5, 15]

    assert shares.forget(B) == [A, B]
    assert shares.shares == [10, 10]


def code(shares: LaneShares) -> Code | None:
    """Why the edge takes no lanes."""
    return shares.failure


def test_an_edge_takes_no_lanes_once_every_worker_that_dials_has_failed() -> None:
    shares = LaneShares(3, first=A, wanted=2)
    shares.note_failure(A, Code.WRONG_EDGE)
    assert code(shares) is None
    shares.note_failure(B, Code.HELLO_TIMEOUT)

    assert code(shares) is Code.HELLO_TIMEOUT, "the third has no lane to dial"


def test_an_edge_takes_no_lanes_though_one_worker_is_to_dial_no_more() -> None:
    shares = LaneShares(2, first=A, wanted=2)
    shares.note_failure(A, FAILED)
    shares.want(1)

    assert code(shares) is FAILED


def test_that_an_edge_takes_no_lanes_holds_until_one_works() -> None:
    shares = LaneShares(2, first=A, wanted=2)
    shares.note_failure(A, Code.WRONG_EDGE)
    shares.note_failure(B, Code.WRONG_EDGE)
    shares.forget(A)
    assert code(shares) is Code.WRONG_EDGE
    shares.note_failure(A, Code.HELLO_TIMEOUT)
    assert code(shares) is Code.WRONG_EDGE, "it was said, and is not said again"
    shares.note_working(B)

    assert code(shares) is None
    shares.note_failure(B, FAILED)
    assert code(shares) is FAILED


def test_nobody_has_failed_whose_lanes_are_not_wanted() -> None:
    shares = LaneShares(2, first=A, wanted=0)
    shares.note_failure(A, FAILED)

    assert code(shares) is None


def test_others_have_the_share_of_a_worker_that_failed_and_it_tries_with_one_lane() -> None:
    shares = LaneShares(3, first=A, wanted=12)
    shares.note_failure(A, FAILED)
    assert shares.shares == [4, 4, 4], "nobody's lane works"
    shares.note_working(B)
    assert shares.shares == [1, 6, 5]
    shares.note_in_use(A, 3)
    assert shares.shares == [3, 5, 4], "the clients that it has keep theirs"
    shares.want(2)
    assert shares.shares == [2, 0, 0], "more are in use than are wanted"
    shares.note_in_use(A, 0)
    assert shares.shares == [0, 1, 1], "there is none to try with"
    shares.want(12)
    shares.note_working(A)

    assert shares.shares == [4, 4, 4]


def test_others_have_the_share_of_a_worker_that_ends_before_it_works_again_and_again() -> None:
    shares = LaneShares(2, first=A, wanted=8)
    shares.note_working(A)
    shares.note_working(B)
    shares.forget(B)
    assert shares.shares == [4, 4]
    shares.forget(B)
    assert shares.shares == [7, 1], "its successor ended, too"
    shares.note_failure(A, FAILED)
    assert code(shares) is FAILED, "there is nobody else"
    shares.note_working(A)
    shares.note_working(B)

    assert shares.shares == [4, 4]


def test_that_workers_end_says_nothing_of_the_edge() -> None:
    shares = LaneShares(2, first=A, wanted=8)
    for worker in (A, B):
        shares.forget(worker)

    assert code(shares) is None
    assert shares.shares == [4, 4]


def test_others_have_no_share_of_a_worker_that_is_gone_after_it_worked() -> None:
    shares = LaneShares(2, first=A, wanted=8)
    shares.note_working(A)
    shares.note_failure(B, FAILED)
    assert shares.shares == [7, 1]
    shares.forget(A)

    assert shares.shares == [4, 4]
    assert code(shares) is None, "its successor is to dial"
