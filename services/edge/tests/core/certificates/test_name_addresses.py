"""Addresses of a name: one of this edge's will do, and the reason names what was found."""

from ipaddress import ip_address

import pytest

from towonel.edge.core.certificates.name_addresses import describe_mismatch
from towonel.runtime.addresses import IpAddress


def parse(text: str) -> set[IpAddress]:
    return {ip_address(each) for each in text.split()}


@pytest.mark.parametrize(
    ("found", "own"),
    [
        ("198.51.100.7", "198.51.100.7"),
        ("203.0.113.9 2001:db8::7", "198.51.100.7 2001:db8::7"),
        ("203.0.113.9", "10.0.0.5 192.168.1.2 fe80::1"),  # whose address outside is not known
        ("203.0.113.9", ""),
        ("127.0.0.1", "127.0.0.1"),
    ],
)
def test_a_name_that_may_lead_here_passes(found: str, own: str) -> None:
    assert describe_mismatch(parse(found), parse(own)) is None


def test_a_name_that_leads_elsewhere_says_where() -> None:
    assert describe_mismatch(parse("203.0.113.9"), parse("198.51.100.7")) == (
        "resolves to 203.0.113.9, not to this edge (198.51.100.7)"
    )


def test_of_many_addresses_some_are_named() -> None:
    many = parse(" ".join(f"203.0.113.{number}" for number in range(1, 9)))

    assert describe_mismatch(many, parse("198.51.100.7 10.0.0.5")) == (
        "resolves to 203.0.113.1, 203.0.113.2, 203.0.113.3, 203.0.113.4 and more,"
        " not to this edge (10.0.0.5, 198.51.100.7)"
    )
