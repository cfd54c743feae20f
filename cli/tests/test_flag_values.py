"""Ports, ends and ids as people write them."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from towonel.api.keys import KeyIn
from towonel.api.ports import PortRange, ReservationIn
from towonel.cli.errors import UsageError
from towonel.cli.options.expiry import parse_expiry, parse_lifetime
from towonel.cli.options.ids import build_request, parse_hex_id
from towonel.cli.options.port_ranges import format_range, parse_ports, parse_range

NOW = datetime(2027, 1, 1, 12, tzinfo=UTC)
DAY_S = 86_400


@given(st.sampled_from(["tcp", "udp"]), st.integers(1, 65_535), st.integers(1, 65_535))
def test_ports_are_read_as_they_are_shown(protocol: str, one: int, other: int) -> None:
    ports = PortRange.model_validate(
        {"protocol": protocol, "first_port": min(one, other), "last_port": max(one, other)}
    )

    assert parse_ports("--port", format_range(ports)) == ports


def test_a_single_port_is_its_own_range() -> None:
    assert parse_range("--ports", " 2222 ") == (2222, 2222)
    assert format_range(parse_ports("--port", "udp:53-53")) == "udp:53"


@pytest.mark.parametrize(
    ("text", "reported"),
    [
        ("30-20", "first port is above the last"),
        ("0", "ports are 1 to 65535"),
        ("1-65536", "ports are 1 to 65535"),
        ("", "write a port"),
        ("ssh", "write a port"),
        ("-5", "write a port"),
        ("1-2-3", "write a port"),
        ("²", "write a port"),
        ("999999", "write a port"),
    ],
)
def test_what_is_no_port_is_refused_with_the_rule(text: str, reported: str) -> None:
    for parse, given_text in ((parse_range, text), (parse_ports, f"tcp:{text}")):
        with pytest.raises(UsageError, match=f"--x: .*{reported}"):
            parse("--x", given_text)


@pytest.mark.parametrize("text", ["2222", "sctp:1", "tcp:", "TCP:1", "tcp:1:2", ""])
def test_ports_of_an_invite_name_their_protocol(text: str) -> None:
    with pytest.raises(UsageError, match="--port: "):
        parse_ports("--port", text)


@pytest.mark.parametrize(
    ("expires", "expires_at", "end"),
    [
        ("7d", None, NOW + timedelta(days=7)),
        ("never", None, None),
        ("0", None, None),
        (None, "2027-01-31", datetime(2027, 1, 31, tzinfo=UTC)),
        (None, " 2027-01-31T12:00:00Z ", datetime(2027, 1, 31, 12, tzinfo=UTC)),
        (None, "2027-01-31T12:00:00+02:00", datetime(2027, 1, 31, 10, tzinfo=UTC)),
    ],
)
def test_an_end_is_a_time_from_now_or_a_date(
    expires: str | None, expires_at: str | None, end: datetime | None
) -> None:
    assert parse_expiry(expires, expires_at, NOW, 10 * DAY_S) == end


@pytest.fixture
def tokyo(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as patched:
        patched.setenv("TZ", "Asia/Tokyo")
        time.tzset()
        yield
    time.tzset()


def test_a_date_without_a_zone_is_in_utc_wherever_it_is_typed(tokyo: None) -> None:
    assert parse_expiry(None, "2027-01-31", NOW, DAY_S) == datetime(2027, 1, 31, tzinfo=UTC)


@pytest.mark.parametrize(
    ("expires", "expires_at", "reported"),
    [
        ("7d", "2027-01-31", "--expires-at: give --expires or --expires-at"),
        ("soon", None, "--expires: write a number and a unit"),
        ("999999999w", None, "--expires: at most 10d"),
        (None, "soon", "--expires-at: write a date"),
        (None, "2027-02-30", "--expires-at: write a date"),
        (None, "", "--expires-at: write a date"),
    ],
)
def test_an_end_that_cannot_be_meant_is_refused(
    expires: str | None, expires_at: str | None, reported: str
) -> None:
    with pytest.raises(UsageError, match=reported):
        parse_expiry(expires, expires_at, NOW, 10 * DAY_S)


def test_a_time_has_its_bounds_both_included() -> None:
    assert parse_lifetime("--x", "1m", DAY_S, 60) == 60
    assert parse_lifetime("--x", "1d", DAY_S, 60) == DAY_S
    assert parse_lifetime("--x", "never", DAY_S, 60) is None
    for text in ("59s", "25h"):
        with pytest.raises(UsageError, match="--x: at least 60s and at most 1d"):
            parse_lifetime("--x", text, DAY_S, 60)


def test_an_id_is_spelled_as_the_hub_does() -> None:
    assert parse_hex_id("--tenant-id", f" {'AB' * 32}\n") == b"\xab" * 32


@pytest.mark.parametrize("text", ["", "ab", "ab" * 31 + "zz", "ab" * 33, "é" * 64])
def test_what_is_no_id_names_its_flag(text: str) -> None:
    with pytest.raises(UsageError, match="--tenant-id: is 64 hexadecimal digits"):
        parse_hex_id("--tenant-id", text)


def test_a_body_that_the_hub_would_refuse_names_the_flag() -> None:
    with pytest.raises(UsageError, match=r"--name: .*at most 100"):
        build_request(KeyIn, name="n" * 101, role="viewer")
    with pytest.raises(UsageError, match=r"^last_port needs a first_port"):
        build_request(ReservationIn, tenant_id="ab" * 32, protocol="tcp", last_port=1)
