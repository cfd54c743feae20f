"""State of an origin by its checks: what it takes to be failing, and to be healthy again."""

import pytest

from towonel.agent.core.checks.origin_check import CheckKind, CheckState, OriginCheck


def follow(checks: str, *, rise: int = 2, fall: int = 3) -> str:
    """Return what an origin is after each check that passed (+) or failed (-): up or down, and ! where it changed."""
    state = CheckState(OriginCheck(CheckKind.TCP, rise=rise, fall=fall))
    found = ""
    for each in checks:
        has_changed = state.record(passed=each == "+")
        found += (
            ("D" if state.is_failing else "U") if has_changed else "d" if state.is_failing else "u"
        )
    return found


def test_an_origin_is_failing_until_a_check_has_passed() -> None:
    assert CheckState(OriginCheck(CheckKind.TCP)).is_failing


@pytest.mark.parametrize(
    ("checks", "states"),
    [
        ("+", "U"),
        ("-+", "dd"),
        ("-++", "ddU"),
        ("+--+", "Uuuu"),
        ("+---", "UuuD"),
        ("+---+-++", "UuuDdddU"),
        ("+--+--+", "Uuuuuuu"),
        ("+---++---", "UuuDdUuuD"),
    ],
)
def test_it_takes_checks_in_a_row_to_change_what_an_origin_is(checks: str, states: str) -> None:
    assert follow(checks) == states


def test_one_check_is_enough_where_that_is_wanted() -> None:
    assert follow("+-+-", rise=1, fall=1) == "UDUD"
