"""Route of the hub's own name: what names it, and what does not."""

import pytest

from towonel.edge.core.http.hub_route import (
    HubRoute,
    find_direct_url,
    find_hub_route,
    parse_hub_route,
)
from towonel.wire.names import Hostname

NAME = Hostname("hub.example.eu")


@pytest.mark.parametrize(
    ("text", "route", "address"),
    [
        (
            "hub.example.eu=http://127.0.0.1:8443",
            HubRoute(NAME, "http://127.0.0.1:8443"),
            ("127.0.0.1", 8443),
        ),
        ("HUB.example.eu=http://[::1]/", HubRoute(NAME, "http://[::1]/"), ("::1", 80)),
    ],
)
def test_a_name_and_an_address_are_a_route(
    text: str, route: HubRoute, address: tuple[str, int]
) -> None:
    found = parse_hub_route(text, allow_insecure=False)

    assert found == route
    assert found.address == address


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("hub.example.eu", "must be a name and the hub's own address"),
        ("hub.example.eu=https://127.0.0.1:8443", "must be a name and the hub's own address"),
        ("hub.example.eu=http://127.0.0.1:8443/v1", "must be a name and the hub's own address"),
        ("hub=http://127.0.0.1:8443", "server name 'hub'"),
        ("*.example.eu=http://127.0.0.1:8443", "is a pattern"),
        ("hub.example.eu=http://10.0.0.1:8443", "TOWONEL_ALLOW_INSECURE_HUB"),
        ("hub.example.eu=http://127.0.0.1:0", "has a port that is none"),
    ],
)
def test_anything_else_is_refused_with_the_rule(text: str, rule: str) -> None:
    with pytest.raises(ValueError, match=rule):
        parse_hub_route(text, allow_insecure=False)


def test_a_hub_elsewhere_is_reached_in_clear_only_where_that_is_allowed() -> None:
    found = parse_hub_route("hub.example.eu=http://hub:8443", allow_insecure=True)

    assert found.address == ("hub", 8443)


@pytest.mark.parametrize(
    ("public_url", "hub_url", "port", "is_found"),
    [
        ("https://hub.example.eu", "http://127.0.0.1:8443", 443, True),
        ("https://hub.example.eu", "http://127.0.0.1:8443", 10443, True),
        ("https://hub.example.eu:8443", "http://127.0.0.1:8443", 443, False),
        ("https://hub.example.eu", "https://hub.example.eu", 443, False),
        (None, "http://127.0.0.1:8443", 443, False),
    ],
)
def test_beside_a_hub_its_public_name_is_answered_if_clients_come_here(
    public_url: str | None, hub_url: str, port: int, is_found: bool
) -> None:
    route = find_hub_route(public_url, hub_url, port)

    assert route == (HubRoute(NAME, hub_url) if is_found else None)


def test_an_edge_asks_a_hub_directly_whose_name_it_answers_itself() -> None:
    self_route = "Hub.example.eu=http://127.0.0.1:8443"

    assert find_direct_url("https://hub.example.eu", self_route) == "http://127.0.0.1:8443"
    assert find_direct_url("https://other.example.eu", self_route) == "https://other.example.eu"
    assert find_direct_url("https://hub.example.eu", "off") == "https://hub.example.eu"
    assert find_direct_url("https://hub.example.eu", "") == "https://hub.example.eu"
