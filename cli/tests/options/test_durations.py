import pytest
from hypothesis import given
from hypothesis import strategies as st

from towonel.cli.options.durations import parse_duration

UNITS = {"s": 1, "min": 60, "h": 3_600, "days": 86_400, "w": 604_800}


@pytest.mark.parametrize("text", ["never", "forever", "", "0", "  never ", "0s", "0d 0h"])
def test_never_has_several_spellings(text: str) -> None:
    assert parse_duration(text) is None


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("48h", 172_800),
        ("7d", 604_800),
        ("1d 12h", 129_600),
        ("1d12h", 129_600),
        ("90 secs", 90),
        ("1month", 2_630_016),
        ("1M 1m", 2_630_076),
        ("1y", 31_557_600),
    ],
)
def test_people_write_durations_in_these_ways(text: str, seconds: int) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text",
    ["7", "d", "-1d", "1.5h", "7 D", "1Y", "1mo", "7d!", "1d,2h", "10000000000s", "1s" * 40, "٣d"],
)
def test_what_is_no_duration_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match="such as 48h"):
        parse_duration(text)


@given(
    st.lists(st.tuples(st.integers(1, 999), st.sampled_from(sorted(UNITS))), min_size=1, max_size=6)
)
def test_the_parts_of_a_duration_add_up(parts: list[tuple[int, str]]) -> None:
    text = " ".join(f"{number}{unit}" for number, unit in parts)

    assert parse_duration(text) == sum(number * UNITS[unit] for number, unit in parts)


@given(st.text())
def test_any_text_is_a_duration_or_a_value_error(text: str) -> None:
    try:
        found = parse_duration(text)
    except ValueError:
        return

    assert found is None or found > 0
