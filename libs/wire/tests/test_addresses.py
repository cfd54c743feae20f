"""Addresses as text."""

import pytest

from towonel.wire.addresses import format_address


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("edge.eu", "edge.eu:443"),
        ("192.0.2.1", "192.0.2.1:443"),
        ("2001:db8::1", "[2001:db8::1]:443"),
    ],
)
def test_only_an_ipv6_address_has_brackets_before_its_port(host: str, expected: str) -> None:
    assert format_address(host, 443) == expected
