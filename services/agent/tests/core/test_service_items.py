"""Items of lists of services: what every list refuses alike, and how origins are written."""

import pytest

from towonel.agent.core.service_items import (
    CLIENT_FIELDS,
    Item,
    parse_origin,
    read_clients,
    read_origin,
    shorten,
)
from towonel.agent.core.services import Origin, ProxyProtocol
from towonel.wire.policy.client_networks import ClientNetworks

EXAMPLE = "127.0.0.1:4443"


def origin_of(text: object) -> tuple[str, int]:
    return parse_origin(text, EXAMPLE)


@pytest.mark.parametrize(
    "origin",
    [
        *("", "host", "host:", ":80", "host:0", "host:65536", "https://a:1", "a:²"),
        *("host:" + "1" * 5000, "a..b:80", f"{'x' * 64}:80", "a b:80", "a\nb:80", "u@h:80"),
        *("[a]:80", "[127.0.0.1]:80", "[::1:80", "[]:80", "\ud800:80"),
    ],
)
def test_an_origin_is_a_host_and_a_port(origin: str) -> None:
    with pytest.raises(
        ValueError, match="must be host:port, with a port from 1 to 65535"
    ) as caught:
        origin_of(origin)

    assert "as in 127.0.0.1:4443, not" in str(caught.value)
    assert str(caught.value).isprintable()


def test_an_ipv6_origin_without_brackets_is_shown_with_them() -> None:
    with pytest.raises(ValueError, match=r"an IPv6 address needs brackets, as in \[::1\]:443"):
        origin_of("::1:443")

    assert origin_of("[::1]:443") == ("::1", 443)


@pytest.mark.parametrize(
    "host", ["web", "my_db", "nas.local", "a.eu.", "bücher.example", "1.2.3.4"]
)
def test_an_origin_may_be_any_name_that_the_machine_can_resolve(host: str) -> None:
    assert origin_of(f"{host}:80") == (host, 80)


def test_the_default_of_a_list_holds_for_origins_of_which_nothing_else_is_said() -> None:
    fields = {"origin": "a:1"}
    origins = [
        read_origin(Item("[0]", fields | more, ("origin", "proxy_protocol")), EXAMPLE, default)
        for default in ProxyProtocol
        for more in ({}, {"proxy_protocol": "v2"})
    ]

    assert [each and each.proxy_protocol for each in origins] == ["none", "v2", "v2", "v2"]
    assert origins[0] == Origin("a", 1, ProxyProtocol.NONE)


def test_an_item_keeps_what_is_wrong_with_it_line_by_line() -> None:
    item = Item("[3] (x)", {"orign": "a:1", "zzz": 1}, ("origin",))

    assert read_origin(item, EXAMPLE, ProxyProtocol.NONE) is None
    assert item.problems == [
        "[3] (x).orign: unknown field; did you mean origin?",
        "[3] (x).zzz: unknown field; there are origin",
        "[3] (x).origin: is missing; give host:port, as in 127.0.0.1:4443",
    ]


def test_a_value_in_a_message_is_one_short_line() -> None:
    assert shorten("a\nb") == "'a\\nb'"
    assert shorten("x" * 101) == "x" * 100 + "…"


def networks_of(**fields: object) -> tuple[ClientNetworks | None, list[str]]:
    item = Item("[0]", fields, ("name", *CLIENT_FIELDS))
    return read_clients(item), item.problems


def test_networks_of_clients_are_read_in_one_form() -> None:
    found, problems = networks_of(allow_cidrs=["192.0.2.0/24", "::1"], deny_cidrs=["192.0.2.1"])

    assert problems == []
    assert found == ClientNetworks(("192.0.2.0/24", "::1/128"), ("192.0.2.1/32",))
    assert networks_of(allow_cidrs=[], deny_cidrs=[]) == networks_of() == (None, [])


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"allow_cidrs": "10.0.0.0/8"}, "[0].allow_cidrs: must be an array of networks, as in"),
        ({"deny_cidrs": [1]}, "[0].deny_cidrs: must be an array of networks, as in"),
        ({"deny_cidrs": ["10.0.0.1/8"]}, "[0].deny_cidrs: '10.0.0.1/8' is not a network such as"),
        (
            {"allow_cidrs": [f"10.0.0.{number}" for number in range(65)]},
            "[0].allow_cidrs: allow_cidrs and deny_cidrs have 65 networks, at most 64",
        ),
    ],
)
def test_what_are_no_networks_is_refused_with_field_and_rule(
    fields: dict[str, object], problem: str
) -> None:
    _, problems = networks_of(**fields)

    assert len(problems) == 1
    assert problems[0].startswith(problem)
