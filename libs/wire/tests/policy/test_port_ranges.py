"""Ranges of public ports: how they are written, their bounds, and runs of ports that are alike."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from towonel.wire.policy.port_ranges import (
    MAX_RANGE_PORTS,
    find_range_problem,
    format_ports,
    group_ports,
    parse_range,
    split_range,
)


def test_ports_are_written_as_people_do() -> None:
    assert format_ports(2222, 2222) == "2222"
    assert format_ports(27015, 27030) == "27015-27030"


@pytest.mark.parametrize(
    ("text", "numbers", "ports"),
    [
        ("27015-27030", (27015, 27030), (27015, 27030)),
        ("1-512", (1, 512), (1, 512)),
        ("1-513", (1, 513), None),
        ("65534-65536", (65534, 65536), None),
        ("2-1", (2, 1), None),
        ("7-7", (7, 7), None),
        ("0-1", (0, 1), None),
        *(
            (text, None, None)
            for text in ("", "7", "1-", "-1", "1-2-3", "1 -2", "\u0661-2", "1-123456")
        ),
    ],
)
def test_a_range_has_both_ends_and_at_most_512_ports(
    text: str, numbers: tuple[int, int] | None, ports: tuple[int, int] | None
) -> None:
    assert split_range(text) == numbers
    assert parse_range(text) == ports


@pytest.mark.parametrize(
    ("first", "last", "problem"),
    [
        (1, MAX_RANGE_PORTS, None),
        (65_024, 65_535, None),
        (1, MAX_RANGE_PORTS + 1, "1-513: has 513 ports, and a service may have 512"),
        (5, 5, "5-5: the first port must be below the last"),
        (0, 5, "0-5: ports are 1 to 65535"),
        (65_535, 65_536, "65535-65536: ports are 1 to 65535"),
    ],
)
def test_a_range_that_breaks_a_rule_is_told_which(
    first: int, last: int, problem: str | None
) -> None:
    assert find_range_problem(first, last) == problem


def test_ports_that_follow_each_other_and_are_alike_are_one_run() -> None:
    ports = [(1, "a"), (2, "a"), (3, "b"), (5, "b"), (6, "a")]

    assert list(group_ports(ports)) == [(1, 2, "a"), (3, 3, "b"), (5, 5, "b"), (6, 6, "a")]
    assert list(group_ports([])) == []


@given(st.dictionaries(st.integers(1, 40), st.sampled_from("ab")))
def test_runs_have_all_ports_and_no_others(ports: dict[int, str]) -> None:
    runs = list(group_ports(sorted(ports.items())))

    assert {p: like for first, last, like in runs for p in range(first, last + 1)} == ports
