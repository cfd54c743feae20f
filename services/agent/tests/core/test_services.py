"""Services of the environment: valid ones, mistakes reported, and the origin of each."""

import json
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from towonel.agent.core.services import (
    MAX_SERVICES,
    Origin,
    ProxyProtocol,
    Service,
    parse_services,
    tabulate_origins,
)
from towonel.wire.messages import Hello, encode
from towonel.wire.names import ServiceKey, ServiceKind
from towonel.wire.preamble import Preamble
from towonel.wire.proxy import Address

ADDRESS = Address(ip_address("192.0.2.1"), 1)
PREAMBLE = Preamble(ADDRESS, ADDRESS, ServiceKey(ServiceKind.HTTPS, "app.example.eu"))


def parse_one(**fields: object) -> Service:
    text = json.dumps([{"hostname": "app.example.eu", "origin": "127.0.0.1:8443", **fields}])
    (service,) = parse_services(text)
    return service


def problems(value: object) -> list[str]:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 the lines are looked at below
        parse_services(value if isinstance(value, str) else json.dumps(value))
    return str(caught.value).split("\n")


def test_a_service_has_the_originals_defaults() -> None:
    assert parse_one() == Service(
        ServiceKey(ServiceKind.HTTPS, "app.example.eu"),
        Origin("127.0.0.1", 8443, ProxyProtocol.V2),
    )


@pytest.mark.parametrize("mode", ["passthrough", {"mode": "passthrough"}])
def test_what_is_given_is_taken(mode: object) -> None:
    service = parse_one(
        hostname="*.Example.eu", origin="[::1]:1", proxy_protocol="none", tls_mode=mode
    )

    assert str(service.key) == "https:*.example.eu"
    assert service.origin == Origin("::1", 1, ProxyProtocol.NONE)


def test_origins_are_shown_as_people_write_them() -> None:
    assert str(parse_one(origin="[::1]:1").origin) == "[::1]:1"
    assert str(parse_one(origin="web:80").origin) == "web:80"


def test_no_services_are_fine() -> None:
    assert parse_services("[]") == ()


@pytest.mark.parametrize(
    ("value", "rule"),
    [
        ("[{", "is not JSON"),
        ({}, "JSON array"),
        ([1], "[0]: must be an object"),
        ([{}], "hostname: is missing"),
        ([{"hostname": "a.eu"}], "[0] (a.eu).origin: is missing"),
        ([{"hostname": "a b.eu", "origin": "a:1"}], "a b.eu"),
        ([{"hostname": "a.eu", "orign": "a:1"}], "did you mean origin?"),
        ([{"hostname": "a.eu", "origin": "a:1", "zzz": 1}], "there are hostname, origin"),
        ("[" * 100_000, "nested too deeply"),
        ("[" + "1" * 5_000 + "]", "a number in it is too long"),
        ('[{"hostname": "a.eu", "origin": "a:1", "origin": "b:1"}]', "occurs twice in it"),
        ([{"hostname": "a.eu", "origin": 5}], "origin: must be a text, not 5"),
        ([{"hostname": "a.eu", "origin": "a:1", "proxy_protocol": "v1"}], 'must be "v2" or "none"'),
        ([{"hostname": "a.eu", "origin": "a:1", "proxy_protocol": True}], 'must be "v2" or "none"'),
        ([{"hostname": "a.eu", "origin": "a:1", "proxy_protocol": ["v2"]}], "none\", not ['v2']"),
        ([{"hostname": "a.eu", "origin": "a:1", "proxy_protocol": None}], 'none", not None'),
        ([{"hostname": "a.eu", "origin": "a:1", "tls_mode": "terminate"}], "must be passthrough"),
        ([{"hostname": "a.eu", "origin": "a:1", "tls_mode": []}], "must be passthrough"),
        ([{"hostname": "a.eu", "origin": "a:1"}] * 2, "a.eu: occurs twice"),
        ([{"hostname": "a.eu", "origin": "a:1"}] * (MAX_SERVICES + 1), "at most 1000"),
    ],
)
def test_a_mistake_is_reported_with_its_place_and_its_rule(value: object, rule: str) -> None:
    assert rule in problems(value)[0]


@pytest.mark.parametrize(
    "origin",
    [
        *("", "host", "host:", ":80", "host:0", "host:65536", "https://a:1", "a:²"),
        *("host:" + "1" * 5000, "a..b:80", f"{'x' * 64}:80", "a b:80", "a\nb:80", "u@h:80"),
        *("[a]:80", "[127.0.0.1]:80", "[::1:80", "[]:80", "\ud800:80"),
    ],
)
def test_an_origin_is_a_host_and_a_port(origin: str) -> None:
    (found,) = problems([{"hostname": "a.eu", "origin": origin}])

    assert "must be host:port, with a port from 1 to 65535, as in 127.0.0.1:4443, not" in found


def test_an_ipv6_origin_without_brackets_is_shown_with_them() -> None:
    (found,) = problems([{"hostname": "a.eu", "origin": "::1:443"}])

    assert "an IPv6 address needs brackets, as in [::1]:443" in found


def test_every_mistake_is_reported_at_once() -> None:
    found = problems([{"host": "x", "origin": "y", "tls_mode": "z", "proxy_protocol": "v3"}, 5])

    fields = [line.partition("].")[2].partition(":")[0] for line in found]
    assert fields == ["host", "hostname", "origin", "proxy_protocol", "tls_mode", ""]


@pytest.mark.parametrize(
    "host", ["web", "my_db", "nas.local", "a.eu.", "bücher.example", "1.2.3.4"]
)
def test_an_origin_may_be_any_name_that_the_machine_can_resolve(host: str) -> None:
    assert parse_one(origin=f"{host}:80").origin.host == host


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3)
    ),
    max_leaves=8,
)
ORIGINS = st.from_regex(r"\[?[a-z0-9.:_-]{0,9}\]?:?[0-9]{0,6}", fullmatch=True)
SERVICES = st.lists(
    st.fixed_dictionaries(
        {},
        optional={
            "hostname": st.sampled_from(["a.eu", "*.b.eu", "", "a\nb"]) | JSON,
            "origin": ORIGINS | JSON,
            "proxy_protocol": st.sampled_from(["v2", "none"]) | JSON,
            "tls_mode": st.sampled_from(["passthrough", {"mode": "passthrough"}]) | JSON,
            "orign": JSON,
        },
    )
    | JSON,
    max_size=3,
)


@given(st.text(max_size=100) | JSON.map(json.dumps) | SERVICES.map(json.dumps))
def test_any_text_is_services_or_mistakes_with_their_places(text: str) -> None:
    try:
        found = parse_services(text)
    except ValueError as error:
        for line in str(error).split("\n"):
            assert line.isprintable()
            assert line.startswith(("[", "is not JSON", "must be a JSON array", "hostname "))
    else:
        assert all(0 < service.origin.port <= 65_535 for service in found)


def test_the_table_of_services_has_the_origin_of_each() -> None:
    (service, other) = parse_one(), parse_one(hostname="*.wild.eu", origin="127.0.0.1:9")
    table = tabulate_origins([service, other])

    assert table.find(PREAMBLE) == service.origin


def test_names_that_no_session_could_begin_with_are_refused() -> None:
    entries = [
        f'{{"hostname": "{"x" * 60}.{"y" * 60}.n{number:03}.eu", "origin": "a:1"}}'
        for number in range(500)
    ]
    most = parse_services(f"[{','.join(entries[:442])}]")
    hello = Hello(1, bytes(1024), tuple(s.key for s in most), bytes(64), "x" * 64)

    assert len(encode(hello)) > 60 * 1024
    with pytest.raises(ValueError, match="too long in all: at most 60 KiB"):
        parse_services(f"[{','.join(entries)}]")
