"""Attempts at the addresses of an origin: staggered, and told by the code that says most."""

import errno

import pytest

from towonel.agent.core.origin_attempts import OriginAttempts, to_code
from towonel.wire.errors import Code

ONE, TWO, THREE = ("192.0.2.1", 1), ("192.0.2.2", 1), ("192.0.2.3", 1)
SIX = ("2001:db8::1", 1, 0, 0)


def test_one_address_is_tried_once() -> None:
    attempts = OriginAttempts([ONE])

    assert attempts.begin(10) == ONE
    assert (attempts.begin(20), attempts.next_at, attempts.over) == (None, None, False)
    attempts.fail(Code.ORIGIN_REFUSED)
    assert (attempts.over, attempts.code) == (True, Code.ORIGIN_REFUSED)


def test_the_next_begins_soon_after_and_at_once_where_one_fails() -> None:
    attempts = OriginAttempts([ONE, TWO, THREE], delay_s=0.5)

    assert attempts.begin(10) == ONE
    assert (attempts.begin(10.4), attempts.next_at) == (None, 10.5)
    assert attempts.begin(10.5) == TWO
    assert attempts.begin(10.6) is None
    attempts.fail(Code.ORIGIN_REFUSED)
    assert attempts.begin(10.7) == THREE
    assert not attempts.over


def test_families_take_turns_beginning_with_that_of_the_first() -> None:
    attempts = OriginAttempts([SIX, ("2001:db8::2", 1, 0, 0), ONE], delay_s=0)

    assert [attempts.begin(now) for now in (1, 2, 3)] == [SIX, ONE, ("2001:db8::2", 1, 0, 0)]


@pytest.mark.parametrize(
    ("codes", "told"),
    [
        ([Code.ORIGIN_UNREACHABLE, Code.ORIGIN_REFUSED], Code.ORIGIN_REFUSED),
        ([Code.ORIGIN_RESET, Code.ORIGIN_UNREACHABLE], Code.ORIGIN_RESET),
        ([], Code.ORIGIN_UNREACHABLE),
    ],
)
def test_the_code_is_that_of_a_machine_that_answered(codes: list[Code], told: Code) -> None:
    attempts = OriginAttempts([ONE, TWO][: len(codes)], delay_s=0)
    for now, code in enumerate(codes):
        attempts.begin(now)
        attempts.fail(code)

    assert (attempts.over, attempts.code) == (True, told)


@pytest.mark.parametrize(
    ("number", "code"),
    [
        (errno.ECONNREFUSED, Code.ORIGIN_REFUSED),
        (errno.ENETUNREACH, Code.ORIGIN_UNREACHABLE),
        (errno.EHOSTUNREACH, Code.ORIGIN_UNREACHABLE),
        (errno.EMFILE, Code.ORIGIN_UNREACHABLE),
        (errno.ECONNRESET, Code.ORIGIN_RESET),
        (None, Code.ORIGIN_RESET),
    ],
)
def test_errors_have_codes(number: int | None, code: Code) -> None:
    assert to_code(number) is code
