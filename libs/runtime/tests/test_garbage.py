"""Garbage collection: it is put off for a block, and goes on then."""

import gc

import pytest

from towonel.runtime.garbage import put_off_collection


def test_garbage_is_not_collected_in_the_block_and_again_behind_it() -> None:
    with put_off_collection():
        inside = gc.isenabled()

    assert (inside, gc.isenabled()) == (False, True)


def test_it_goes_on_after_an_error() -> None:
    with pytest.raises(ZeroDivisionError), put_off_collection():
        raise ZeroDivisionError

    assert gc.isenabled()


def test_two_blocks_at_once_leave_it_on() -> None:
    first, second = put_off_collection(), put_off_collection()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    second.__exit__(None, None, None)

    assert gc.isenabled()


def test_it_stays_off_where_it_was() -> None:
    gc.disable()
    with put_off_collection():
        pass
    stays_off = not gc.isenabled()
    gc.enable()

    assert stays_off
