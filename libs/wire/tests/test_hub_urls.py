"""URLs of a hub: what is taken can be dialled, and every rule that is broken has its words."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from towonel.wire.errors import Code, Denied
from towonel.wire.hub_urls import HubUrl, find_public_name, is_loopback, parse_hub_url


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("https://hub.example.eu", HubUrl("https", "hub.example.eu")),
        (
            " HTTPS://Hub.Example.EU:8443/a%20b/\n",
            HubUrl("https", "hub.example.eu", 8443),
        ),
        ("https://[2001:db8::1]:443", HubUrl("https", "2001:db8::1", 443)),
        ("https://192.0.2.1", HubUrl("https", "192.0.2.1")),
        ("https://xn--bcher-kva.example/", HubUrl("https", "xn--bcher-kva.example")),
        ("https://hub_1.internal.", HubUrl("https", "hub_1.internal.")),
        ("http://localhost:1", HubUrl("http", "localhost", 1)),
    ],
)
def test_a_url_has_its_parts(text: str, url: HubUrl) -> None:
    assert parse_hub_url(text) == url


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("", "must start with https://"),
        ("hub.example.eu", "must start with https://"),
        (
            "localhost:1234",
            "must start with https://, or be http://localhost:1234 for this machine",
        ),
        ("[::1]:1234", r"or be http://\[::1\]:1234 for"),
        ("me:hunter2@localhost", "must start with https://$"),
        ("https://", "names no host"),
        ("https:///path", "names no host"),
        ("https://:443", "names no host"),
        ("https://[::1", "names no host"),
        ("https://hub.example.eu:99999", "from 1 to 65535"),
        ("https://hub.example.eu:0", "from 1 to 65535"),
        ("https://hub.example.eu:", "from 1 to 65535"),
        ("https://hub.example.eu:https", "from 1 to 65535"),
        ("https://me:hunter2@hub.example.eu", "user name or password"),
        ("https://hub.example.eu/?a", "query or a fragment"),
        ("https://hub.example.eu#", "query or a fragment"),
        ("https://hub example.eu", "without white space"),
        ("https://bücher.example", "xn--"),
        ("https://hub\x00.example.eu", "without white space"),
        ("https://a.eu,https://b.eu", "from 1 to 65535"),
        ("https://a.eu,b.eu", "neither a name nor an IP address"),
        ("https://-a.eu", "neither a name nor an IP address"),
        ("https://a..eu", "neither a name nor an IP address"),
        ("https://192.0.2.999", "neither a name nor an IP address"),
        ("https://127.1", "neither a name nor an IP address"),
        ("https://0x7f", "neither a name nor an IP address"),
        ("https://[192.0.2.1]", "no host|neither"),
        ("https://xn--999999999.eu", "neither a name nor an IP address"),
        ("https://" + "a." * 130 + "eu", "neither a name nor an IP address"),
        ("https://a.eu/%zz", "path"),
        ("https://a.eu/<", "path"),
        ("https://a.eu/" + "a" * 2048, "at most 2048 characters"),
    ],
)
def test_what_cannot_be_dialled_is_refused_by_its_rule(text: str, rule: str) -> None:
    with pytest.raises(Denied, match=rule) as caught:
        parse_hub_url(text, allow_insecure=True)

    assert caught.value.code is Code.INVALID_REQUEST
    assert "hunter2" not in str(caught.value)


def test_in_the_clear_only_this_machine_is_a_hub_unless_that_is_chosen() -> None:
    with pytest.raises(Denied, match="TOWONEL_ALLOW_INSECURE_HUB=true"):
        parse_hub_url("http://hub.example.eu")

    assert parse_hub_url("http://hub.example.eu", allow_insecure=True).is_cleartext
    assert not parse_hub_url("http://[::1]:8443").is_cleartext


@pytest.mark.parametrize(
    ("host", "expected"), [("127.9.9.9", True), ("::1", True), ("localhost", True), ("a.eu", False)]
)
def test_this_machine_is_known_by_its_spelling(host: str, *, expected: bool) -> None:
    assert is_loopback(host) is expected


@given(st.text(alphabet="https:/[]@.-_%?#0189abx\n ü", max_size=40))
def test_garbage_is_refused_with_a_rule_only(text: str) -> None:
    for start in ("", "https://"):
        try:
            parse_hub_url(start + text)
        except Denied as error:
            assert error.detail.startswith("the hub's URL ")


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("https://Hub.example.eu", "hub.example.eu"),
        ("https://hub.example.eu.:443/", "hub.example.eu"),
        ("https://hub.example.eu:10443", "hub.example.eu"),
        ("https://hub.example.eu:8443", None),  # where a proxy listens
        ("http://hub.example.eu:443", None),
        ("https://192.0.2.1", None),
        ("https://hub", None),
        ("hub.example.eu", None),
    ],
)
def test_a_hub_whose_clients_come_to_an_edges_port_is_known_by_its_url(
    text: str, name: str | None
) -> None:
    assert find_public_name(text, 10_443) == name
