"""Limits of tenants as flags."""

import pytest

from towonel.api.limits import Limits
from towonel.cli.errors import UsageError
from towonel.cli.options.limits import format_limits, parse_limits


@pytest.mark.parametrize(
    ("text", "bits", "displayed"),
    [
        ("8000", 8_000, "8 kbit/s"),
        ("500k", 500_000, "500 kbit/s"),
        ("10M", 10_000_000, "10 Mbit/s"),
        ("1500k", 1_500_000, "1.5 Mbit/s"),
        (" 1G ", 10**9, "1 Gbit/s"),
        ("1000G", 10**12, "1000 Gbit/s"),
    ],
)
def test_a_bandwidth_has_a_unit(text: str, bits: int, displayed: str) -> None:
    limits = parse_limits(bandwidth=text)

    assert limits == Limits(bandwidth=bits)
    assert format_limits(limits) == displayed


@pytest.mark.parametrize("text", ["", "k", "7k", "7999", "10m", "10 M", "1.5M", "1001G", "-1", "x"])
def test_other_bandwidths_are_refused_with_the_rule(text: str) -> None:
    with pytest.raises(UsageError, match="--max-bandwidth: is bits a second, from 8k to 1000G"):
        parse_limits(bandwidth=text)


@pytest.mark.parametrize(
    ("name", "text", "rule"),
    [
        ("connections", "x", "--max-connections: is a number up to 1000000, or default"),
        ("connections", "1000001", "--max-connections: is a number up to"),
        (
            "connection_rate",
            "0",
            "--max-connection-rate: is a number from 1 to 1000000, or default",
        ),
    ],
)
def test_numbers_out_of_range_are_refused_by_the_name_of_their_flag(
    name: str, text: str, rule: str
) -> None:
    with pytest.raises(UsageError, match=rule):
        parse_limits(**{name: text})


def test_a_limit_goes_back_to_the_default() -> None:
    limits = parse_limits(connections="default", connection_rate="9", services=None)

    assert limits == Limits(connections=None, connection_rate=9)
    assert limits.model_fields_set == {"connections", "connection_rate"}
    assert format_limits(limits) == "9 new connections a second"
    assert parse_limits(services=None) is None
