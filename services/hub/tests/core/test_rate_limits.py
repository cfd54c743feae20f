"""Rates, lockouts, and the address a request is counted under."""

from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from towonel.hub.core.rate_limits import (
    FORGET_MS,
    FREE_STRIKES,
    MAX_LOCKOUT_MS,
    Rate,
    Strikes,
    client_address,
    lockout_ms,
    source_of,
    take,
)

PROXIES = (ip_network("10.0.0.0/8"), ip_network("fd00::/8"))
TWO_A_SECOND = Rate(per_second=2, burst=3)


def test_a_burst_is_let_through_and_then_the_steady_rate() -> None:
    full_at_ms, waits = 0.0, list[float]()
    for now_ms in (1000, 1000, 1000, 1000, 1499, 1500):
        taken = take(full_at_ms, TWO_A_SECOND, now_ms)
        full_at_ms = taken.full_at_ms
        waits.append(taken.wait_ms)

    assert waits == [0, 0, 0, 500, 1, 0]


@given(
    st.lists(st.integers(0, 3000), min_size=1, max_size=60),
    st.integers(1, 20),
    st.integers(1, 10),
)
def test_no_window_holds_more_than_the_burst_and_the_rate(
    pauses_ms: list[int], per_second: int, burst: int
) -> None:
    rate, full_at_ms, now_ms = Rate(per_second, burst), 0.0, 1_000_000
    let_through: list[int] = []
    for pause_ms in pauses_ms:
        now_ms += pause_ms
        taken = take(full_at_ms, rate, now_ms)
        full_at_ms = taken.full_at_ms
        if not taken.wait_ms:
            let_through.append(now_ms)

    for first, start_ms in enumerate(let_through):
        for count, end_ms in enumerate(let_through[first:], start=1):
            assert count <= burst + (end_ms - start_ms) * per_second / 1000 + 1e-6


def test_several_are_taken_at_once_and_more_than_the_bucket_holds_as_all_of_it() -> None:
    full_at_ms, waits = 0.0, list[float]()
    for now_ms, count in ((1000, 2), (1000, 2), (1500, 2), (4000, 9), (4000, 1), (5500, 9)):
        taken = take(full_at_ms, TWO_A_SECOND, now_ms, count)
        full_at_ms = taken.full_at_ms
        waits.append(taken.wait_ms)

    assert waits == [0, 500, 0, 0, 500, 0]


@given(st.integers(1, 50), st.integers(1, 10))
def test_who_waits_as_long_as_told_is_let_through(per_second: int, burst: int) -> None:
    rate, taken, now_ms = Rate(per_second, burst), take(0, Rate(per_second, burst), 1000), 1000.0
    while not taken.wait_ms:
        taken = take(taken.full_at_ms, rate, now_ms)

    assert take(taken.full_at_ms, rate, now_ms + taken.wait_ms + 1e-6).wait_ms == 0


def test_wrong_secrets_cost_nothing_at_first_and_then_twice_as_much_each() -> None:
    waits = [lockout_ms(count) for count in range(FREE_STRIKES - 1, FREE_STRIKES + 4)]

    assert waits == [0, 0, 1000, 2000, 4000]
    assert lockout_ms(FREE_STRIKES + 11) == lockout_ms(10**9) == MAX_LOCKOUT_MS


def test_strikes_are_counted_until_a_while_after_the_last() -> None:
    strikes = Strikes()
    for _ in range(FREE_STRIKES + 1):
        strikes = strikes.add(5000)

    assert strikes == Strikes(FREE_STRIKES + 1, 6000, 6000 + FORGET_MS)
    assert strikes.add(6000 + FORGET_MS - 1).count == FREE_STRIKES + 2
    assert strikes.add(6000 + FORGET_MS).count == 1


@pytest.mark.parametrize(
    ("peer", "header", "client"),
    [
        ("192.0.2.1", None, "192.0.2.1"),
        ("192.0.2.1", "203.0.113.9", "192.0.2.1"),  # nobody trusts who says that
        ("10.0.0.1", None, "10.0.0.1"),
        ("10.0.0.1", "", "10.0.0.1"),
        ("10.0.0.1", "203.0.113.9", "203.0.113.9"),
        ("10.0.0.1", "198.51.100.7, 203.0.113.9", "203.0.113.9"),  # the first is the client's lie
        ("10.0.0.1", "198.51.100.7, 203.0.113.9, 10.2.3.4", "203.0.113.9"),
        ("10.0.0.1", "10.9.9.9, 10.2.3.4", "10.9.9.9"),
        ("10.0.0.1", "203.0.113.9, rubbish", "10.0.0.1"),
        ("::ffff:10.0.0.1", "203.0.113.9:4711", "203.0.113.9"),
        ("fd00::1", "[2001:db8::1]:4711", "2001:db8::1"),
        ("fd00::1", "2001:DB8::1%eth0", "2001:db8::1"),
        ("::ffff:192.0.2.1", None, "192.0.2.1"),
        ("unix", "203.0.113.9", "unix"),
        ("", None, ""),
    ],
)
def test_a_client_is_who_the_last_trusted_proxy_saw(
    peer: str, header: str | None, client: str
) -> None:
    assert client_address(peer, header, PROXIES) == client


@given(st.text(max_size=300))
def test_whatever_a_header_says_the_address_is_one(header: str) -> None:
    found = client_address("10.0.0.1", header, PROXIES)

    assert found == client_address(found, None, ())
    assert source_of(found)


def test_a_chain_of_proxies_is_followed_so_far_only() -> None:
    header = "203.0.113.9" + ", 10.0.0.2" * 100

    assert client_address("10.0.0.1", header, PROXIES) == "10.0.0.2"


def test_what_a_client_adds_in_front_does_not_hide_it() -> None:
    header = "10.0.0.2, " * 100 + "203.0.113.9"

    assert client_address("10.0.0.1", header, PROXIES) == "203.0.113.9"


@pytest.mark.parametrize(
    ("address", "source"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::", "2001:db8:1:2::/64"),
        ("unix", "unix"),
    ],
)
def test_an_ipv6_subscriber_is_one_source(address: str, source: str) -> None:
    assert source_of(address) == source
