"""HTTPS services: valid ones, and mistakes reported."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from towonel.agent.core.https_services import parse_https_services
from towonel.agent.core.services import MAX_SERVICES, Origin, ProxyProtocol, Service
from towonel.agent.core.tls.origin_tls import OriginTls
from towonel.wire.names import ServiceKey, ServiceKind
from towonel.wire.policy.client_networks import ClientNetworks
from towonel.wire.routes import TlsMode


def parse_one(**fields: object) -> Service:
    text = json.dumps([{"hostname": "app.example.eu", "origin": "127.0.0.1:8443", **fields}])
    (service,) = parse_https_services(text)
    return service


def problems(value: object) -> list[str]:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 the lines are looked at below
        parse_https_services(value if isinstance(value, str) else json.dumps(value))
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
    assert parse_one(allow_cidrs=["::1"]).clients == ClientNetworks(("::1/128",))


def test_challenges_go_to_another_address_if_one_is_named() -> None:
    assert parse_one().origin.http is None
    assert parse_one(http_origin="[::1]:8080").origin.http == ("::1", 8080)
    mistake = {"hostname": "app.example.eu", "origin": "a:1", "http_origin": "web"}
    assert "http_origin" in problems([mistake])[0]


@pytest.mark.parametrize("mode", ["terminate", {"mode": "terminate"}])
def test_an_origin_of_what_is_inside_tls_gets_a_header_only_if_it_asks_for_it(mode: object) -> None:
    service = parse_one(tls_mode=mode)

    assert service.tls_mode is TlsMode.TERMINATE
    assert service.origin.proxy_protocol is ProxyProtocol.NONE
    assert parse_one(tls_mode=mode, proxy_protocol="v2").origin.proxy_protocol is ProxyProtocol.V2


@pytest.mark.parametrize("mode", ["terminate", {"mode": "terminate"}])
def test_an_origin_may_get_what_is_inside_tls_inside_tls_again(mode: object) -> None:
    origin = parse_one(tls_mode=mode, origin_server_name="app.internal").origin

    assert origin.gets_plaintext
    assert origin.tls == OriginTls("app.internal")
    assert parse_one(tls_mode=mode).origin.tls is None


def test_an_origin_speaks_http_2_only_where_it_says_so() -> None:
    assert parse_one(tls_mode="terminate", http2=True).http2
    assert not parse_one(tls_mode="terminate").http2
    assert not parse_one(http2=False).http2


def test_no_services_are_fine() -> None:
    assert parse_https_services("[]") == ()


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
        ([{"hostname": "a.eu", "origin": "a:1", "tls_mode": "agent"}], "passthrough or terminate"),
        ([{"hostname": "a.eu", "origin": "a:1", "tls_mode": []}], "passthrough or terminate"),
        (
            [{"hostname": "a.eu", "origin": "a:1", "origin_server_name": "a"}],
            'origin_server_name: needs "tls_mode": "terminate"',
        ),
        (
            [{"hostname": "a.eu", "origin": "a:1", "http2": True}],
            'http2: needs "tls_mode": "terminate"',
        ),
        ([{"hostname": "a.eu", "origin": "a:1", "http2": "yes"}], "must be true or false"),
        (
            [{"hostname": "a.eu", "origin": "a:1"}] * 2,
            "[1] (a.eu).hostname: is that of [0] (a.eu), too",
        ),
        ([{"hostname": "a.eu", "origin": "a:1"}] * (MAX_SERVICES + 1), "at most 1000"),
    ],
)
def test_a_mistake_is_reported_with_its_place_and_its_rule(value: object, rule: str) -> None:
    assert rule in problems(value)[0]


def test_every_mistake_is_reported_at_once() -> None:
    found = problems([{"host": "x", "origin": "y", "tls_mode": "z", "proxy_protocol": "v3"}, 5])

    fields = [line.partition("].")[2].partition(":")[0] for line in found]
    assert fields == ["host", "hostname", "tls_mode", "origin", "proxy_protocol", ""]


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
            "tls_mode": st.sampled_from(["terminate", {"mode": "passthrough"}]) | JSON,
            "origin_server_name": st.sampled_from(["app.internal", "a b"]) | JSON,
            "origin_ca": st.sampled_from(["/ca.pem", "\n"]) | JSON,
            "origin_insecure": st.booleans() | JSON,
            "http2": st.booleans() | JSON,
            "orign": JSON,
        },
    )
    | JSON,
    max_size=3,
)


@given(st.text(max_size=100) | JSON.map(json.dumps) | SERVICES.map(json.dumps))
def test_any_text_is_services_or_mistakes_with_their_places(text: str) -> None:
    try:
        found = parse_https_services(text)
    except ValueError as error:
        for line in str(error).split("\n"):
            assert line.isprintable()
            assert line.startswith(("[", "is not JSON", "must be a JSON array"))
    else:
        assert all(0 < service.origin.port <= 65_535 for service in found)
