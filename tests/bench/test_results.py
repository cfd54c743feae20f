"""Figures of the benchmark: what is made of counts, and the table."""

import io

import pytest
from cells import (
    DEFAULT,
    LOAD_SHARE,
    MODES,
    Cell,
    figures_of_beside,
    figures_of_idle,
    figures_of_load,
    parse_cells,
    shares_of_load,
)
from load_driver import Outcome
from results import Row, format_number, load_margins, medians, table, with_ratios
from rich.console import Console
from subjects import parse_subjects, with_workers

SPENT = {"server": 3.0, "client": 1.0}


def outcome(operations: int = 0, count: int = 0, failed: int = 0) -> Outcome:
    return Outcome(operations, count, failed, "", seconds=2.0, p50_us=250, p99_us=1500)


def rows(cell: str, subject: str, *rates: float, figure: str = "per_s") -> list[Row]:
    return [Row(number, cell, subject, {figure: rate}) for number, rate in enumerate(rates, 1)]


def test_bulk_is_a_rate_in_bits_and_costs_processor_time_for_each_gigabyte() -> None:
    figures = figures_of_load(Cell("down", 8), outcome(count=2_000_000_000), SPENT)

    assert figures == {
        "gbit_s": 8.0,
        "cpu_s_per_gb": 2.0,
        "cpu_s_per_gb_server": 1.5,
        "cpu_s_per_gb_client": 0.5,
        "failed": 0,
    }


def test_operations_are_a_rate_with_latencies_and_cost_processor_time_each() -> None:
    figures = figures_of_load(Cell("echo", 32), outcome(operations=1000, failed=2), SPENT)

    assert figures == {
        "per_s": 500.0,
        "p50_ms": 0.25,
        "p99_ms": 1.5,
        "cpu_us_per_op": 4000.0,
        "cpu_us_per_op_server": 3000.0,
        "cpu_us_per_op_client": 1000.0,
        "failed": 2,
    }


def test_where_nothing_was_done_there_is_no_cost_of_one() -> None:
    figures = figures_of_load(Cell("echo", 1), outcome(failed=1), SPENT)

    assert figures == {"per_s": 0.0, "p50_ms": 0.25, "p99_ms": 1.5, "failed": 1}


def test_an_idle_client_costs_what_each_side_grew_by() -> None:
    before, after = {"server": 100.0, "client": 50.0}, {"server": 300.0, "client": 70.0}

    figures = figures_of_idle(Cell("idle", 10), outcome(), before, after)

    assert figures == {
        "kib_per_client": 22.0,
        "kib_per_client_server": 20.0,
        "kib_per_client_client": 2.0,
        "failed": 0,
    }


def beside(subject: str, alone_ms: float, beside_ms: float, failed: float = 0) -> Row:
    alone = {"per_s": 90.0, "p50_ms": 1.0, "p99_ms": alone_ms, "failed": 0.0}
    measured = {"per_s": 45.0, "p50_ms": 1.5, "p99_ms": beside_ms, "failed": failed}
    return Row(1, "beside-9", subject, figures_of_beside(alone, measured))


def test_a_busy_client_beside_idle_ones_is_compared_with_itself_without_them() -> None:
    found = medians([beside("lanes", 1, 3), beside("lanes", 2, 2), beside("lanes", 9, 2)])

    figures = with_ratios(found)["beside-9"]["lanes"]
    assert (figures["p99_ms"], figures["p99_ms_alone"]) == (2, 2)
    assert figures["x_alone"] == {"per_s": 0.5, "p50_ms": 1.5, "p99_ms": 1}


def test_failures_of_a_busy_client_count_with_and_without_idle_ones() -> None:
    alone = {"per_s": 0.0, "p50_ms": 0.0, "p99_ms": 0.0, "failed": 1.0}

    assert figures_of_beside(alone, {**alone, "failed": 2.0})["failed"] == 3


def test_ratios_are_those_of_medians_and_not_medians_of_ratios() -> None:
    found = medians([*rows("c", "lanes", 10, 90, 40), *rows("c", "rathole", 100, 20, 50)])

    assert found["c"]["lanes"] == {"per_s": 40}
    assert with_ratios(found)["c"]["lanes"] == {
        "per_s": 40,
        "x_rathole": {"per_s": 0.8},
        "x_haproxy-twice": {},
        "x_direct": {},
    }


def test_failures_of_all_rounds_are_added_up() -> None:
    found = medians(rows("c", "bore", 0, 0, 3, figure="failed"))

    assert found["c"]["bore"] == {"failed": 3}


def test_the_driver_is_compared_with_the_fastest_subject() -> None:
    measured = [*rows("c", "direct", 90), *rows("c", "bore", 30), *rows("c", "rathole", 45)]

    assert load_margins(medians(measured)) == {"c": ("rathole", 2.0)}


def test_without_a_direct_connection_nothing_is_said_of_the_driver() -> None:
    assert load_margins(medians(rows("c", "rathole", 45))) == {}


@pytest.mark.parametrize(("share", "margins"), [(0.2, {"c": ("rathole", 5.0)}), (0.0, {})])
def test_where_driver_and_origin_alternate_their_share_of_the_fastest_subjects_time_counts(
    share: float, margins: dict[str, tuple[str, float]]
) -> None:
    """A share of no tick at all tells nothing."""
    measured = [
        *rows("c", "direct", 46),
        Row(1, "c", "bore", {"per_s": 30, LOAD_SHARE: 0.9}),
        Row(1, "c", "rathole", {"per_s": 45, LOAD_SHARE: share}),
    ]

    assert load_margins(medians(measured)) == margins


def test_of_a_client_that_waits_the_work_of_driver_and_origin_adds_up() -> None:
    spent = {"driver": 0.5, "origin": 0.25}

    assert shares_of_load(Cell("echo", 1), outcome(), spent) == {
        "driver_share": 0.25,
        LOAD_SHARE: 0.375,
    }
    assert shares_of_load(Cell("echo", 2), outcome(), spent) == {"driver_share": 0.25}


def test_driver_and_origin_alternate_with_one_client_that_waits() -> None:
    cells = [Cell(mode, count) for mode in MODES for count in (1, 2)]

    assert [each.name for each in cells if each.is_alternating] == ["echo-1", "conn-1"]


def test_the_table_has_a_line_for_each_cell_and_subject_with_ratios_and_failures() -> None:
    lanes = {"per_s": 50.0, "p50_ms": 1.0, "p99_ms": 6.0, "cpu_us_per_op": 20.0, "failed": 2.0}
    base = {"per_s": 100.0, "p50_ms": 1.0, "p99_ms": 2.0, "cpu_us_per_op": 10.0, "failed": 0.0}
    measured = [Row(1, "echo-1", "rathole", base), Row(1, "echo-1", "lanes", lanes)]
    measured += rows("echo-1", "direct", 400)
    measured += [Row(1, "echo-1", "haproxy-twice", {"per_s": 200, "p99_ms": 4, "cpu_us_per_op": 5})]
    text = io.StringIO()
    Console(file=text, width=200).print(table(medians(measured)))
    lines = [line.split("|") for line in text.getvalue().splitlines() if "echo" in line]

    assert [",".join(part.strip() for part in line[1:-1]) for line in lines] == [
        "echo-1,direct,400 /s,4.00,2.00,,,,,,,,,,",
        "echo-1,lanes,50.0 /s,0.50,0.25,0.12,1.00,6.00,3.00,1.50,,20.0 us/op,2.00,4.00,2",
        "echo-1,haproxy-twice,200 /s,2.00,,0.50,,4.00,2.00,,,5.00 us/op,0.50,,",
        "echo-1,rathole,100 /s,,0.50,0.25,1.00,2.00,,0.50,,10.0 us/op,,2.00,",
    ]


def test_the_table_has_the_ratio_of_a_busy_client_to_itself_alone() -> None:
    text = io.StringIO()
    measured = [beside("lanes", 2, 3), beside("rathole", 0, 4, failed=1)]
    Console(file=text, width=200).print(table(medians(measured)))
    lines = [line.split("|") for line in text.getvalue().splitlines() if "beside" in line]

    assert [",".join(part.strip() for part in line[7:-1]) for line in lines] == [
        "1.50,3.00,0.75,,1.50,,,,",
        "1.50,4.00,,,,,,,1",
    ]


@pytest.mark.parametrize(
    ("value", "text"),
    [(1234.5, "1,234"), (99.96, "100"), (12.34, "12.3"), (0.456, "0.46"), (0.0123, "0.012")],
)
def test_numbers_have_three_digits(value: float, text: str) -> None:
    assert format_number(value) == text


def test_a_mode_alone_is_all_its_default_cells() -> None:
    assert [cell.name for cell in parse_cells(",".join(DEFAULT))] == [*DEFAULT]
    assert [cell.name for cell in parse_cells("down,echo-7,down-8")] == [
        "down-1",
        "down-8",
        "echo-7",
    ]


@pytest.mark.parametrize(
    "text", ["", "down-", "down-x", "down-²", "sideways-1", "down--1", "down,", "beside-"]
)
def test_what_is_no_cell_is_refused_with_what_there_is(text: str) -> None:
    with pytest.raises(ValueError, match=r"is no cell: it is idle, down, up, echo, conn, beside,"):
        parse_cells(text)


@pytest.mark.parametrize("count", ["0", "8001", "9" * 99])
def test_too_many_connections_are_refused_with_the_limit(count: str) -> None:
    with pytest.raises(ValueError, match="must have 1 to 8000 connections"):
        parse_cells(f"echo-{count}")


def test_an_unknown_subject_is_refused_with_those_there_are() -> None:
    with pytest.raises(ValueError, match=r"'ratholes' is no subject: there are direct, lanes,"):
        parse_subjects("direct,ratholes")


def test_no_subject_is_measured_twice() -> None:
    assert [subject.name for subject in parse_subjects("bore,direct,bore")] == ["bore", "direct"]


def test_only_ways_of_towonel_have_workers() -> None:
    ours, peer = parse_subjects("lanes,bore")

    changed, same = with_workers([ours, peer], 2)

    assert (changed.name, same) == ("lanes", peer)
    assert changed.start is not ours.start
