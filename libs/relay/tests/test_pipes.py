"""Pool of pipes: what the system refuses is asked for again, but not each time."""

import contextlib
from collections.abc import Iterator

import pytest
from support.descriptors import use_up_descriptors

from towonel.relay.pipes import PAUSE, Pipe, PipePool


@pytest.fixture
def pool() -> Iterator[PipePool]:
    with contextlib.closing(PipePool(2)) as made:
        yield made


def borrow(pool: PipePool) -> Pipe:
    pipe = pool.borrow()
    assert pipe is not None
    return pipe


def test_no_more_pipes_are_lent_than_there_may_be(pool: PipePool) -> None:
    lent = [borrow(pool), borrow(pool)]
    assert pool.borrow() is None

    pool.give_back(lent[0], empty=True)
    assert pool.borrow() is lent[0]
    for pipe in lent:
        pool.give_back(pipe, empty=True)


def test_a_pipe_that_comes_back_with_bytes_is_closed_and_another_may_be_made(
    pool: PipePool,
) -> None:
    pool.give_back(borrow(pool), empty=False)

    lent = [borrow(pool), borrow(pool)]
    assert pool.borrow() is None
    for pipe in lent:
        pool.give_back(pipe, empty=True)


def test_what_the_system_refused_is_asked_for_again_after_a_pause(pool: PipePool) -> None:
    with use_up_descriptors():
        assert pool.borrow() is None
    assert [pool.borrow() for _ in range(PAUSE)] == [None] * PAUSE

    pool.give_back(borrow(pool), empty=True)


def test_pipes_that_there_are_are_lent_during_the_pause(pool: PipePool) -> None:
    lent = borrow(pool)
    with use_up_descriptors():
        assert pool.borrow() is None
    pool.give_back(lent, empty=True)

    assert pool.borrow() is lent
    pool.give_back(lent, empty=True)
