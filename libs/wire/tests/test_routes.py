"""Codec of routes between hub and edge."""

from dataclasses import replace

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from towonel.wire import routes
from towonel.wire.errors import Code, ProtocolError
from towonel.wire.ids import TenantId
from towonel.wire.names import ServiceKey, ServiceKind
from towonel.wire.policy.client_networks import ClientNetworks
from towonel.wire.policy.tenant_limits import MAX_LIMIT, TenantLimits
from towonel.wire.routes import TAG_BYTES, Route, RouteDelta, TlsMode, decode_delta, encode_delta

TENANTS = st.binary(min_size=32, max_size=32).map(TenantId)
CLIENTS = st.sampled_from(
    [
        None,
        ClientNetworks(("192.0.2.0/24",)),
        ClientNetworks((), ("2001:db8::/32",)),
        ClientNetworks(("192.0.2.0/24", "10.0.0.0/8"), ("192.0.2.1/32",)),
    ]
)
ROUTES = st.one_of(
    st.builds(
        Route,
        st.just(ServiceKind.HTTPS),
        st.sampled_from(["a.eu", "*.example.eu"]),
        TENANTS,
        st.none(),
        st.sampled_from(TlsMode),
        CLIENTS,
        http2=st.booleans(),
    ),
    st.builds(
        Route,
        st.sampled_from([ServiceKind.TCP, ServiceKind.UDP]),
        st.just("ssh"),
        TENANTS,
        st.integers(0, 65535),
        clients=CLIENTS,
    ),
)
LIMITED = st.none() | st.integers(1, MAX_LIMIT)
LIMITS = st.builds(TenantLimits, LIMITED, LIMITED, LIMITED)
DELTAS = st.builds(
    RouteDelta,
    st.integers(0, 2**63 - 1),
    st.booleans(),
    st.lists(ROUTES, max_size=4).map(tuple),
    st.lists(st.just("https:a.eu"), max_size=3).map(tuple),
    st.lists(TENANTS, max_size=3).map(tuple),
    st.lists(TENANTS, max_size=3).map(tuple),
    st.none() | st.binary(min_size=TAG_BYTES, max_size=TAG_BYTES),
    st.dictionaries(TENANTS, LIMITS, max_size=3),
    st.none() | st.binary(min_size=TAG_BYTES, max_size=TAG_BYTES),
)
TENANT = bytes(range(32))
ROUTE = {"kind": "https", "name": "a.eu", "tls": "passthrough", "tenant": TENANT}
PORT = {"kind": "tcp", "name": "a", "port": 2, "tenant": TENANT}
DELTA = {
    "v": 1, "revision": 7, "snapshot": False, "routes": [], "removed": [], "blocked": [],
    "unblocked": [],
}  # fmt: skip


@pytest.mark.branches
@given(DELTAS)
def test_what_is_encoded_decodes_to_the_same(delta: RouteDelta) -> None:
    assert decode_delta(encode_delta(delta)) == delta


def test_a_route_has_the_key_of_what_is_public_about_it() -> None:
    web = Route(ServiceKind.HTTPS, "a.eu", TenantId(TENANT))
    ssh = Route(ServiceKind.TCP, "ssh", TenantId(TENANT), 2222)

    game = replace(ssh, port=27015, last_port=27030)

    assert (web.key, ssh.key, game.key) == ("https:a.eu", "tcp:2222", "tcp:27015-27030")
    assert [list(web.ports), list(ssh.ports), len(game.ports)] == [[], [2222], 16]
    assert ssh.service == ServiceKey(ServiceKind.TCP, "ssh")


def test_a_range_is_one_route_on_the_way_and_one_for_each_of_its_ports_at_an_edge() -> None:
    clients = ClientNetworks(("192.0.2.0/24",))
    game = Route(ServiceKind.UDP, "game", TenantId(TENANT), 10, clients=clients, last_port=12)
    data = encode_delta(RouteDelta(7, snapshot=False, routes=(game,), removed=("tcp:8-9",)))
    found = decode_delta(data)

    assert found.routes == tuple(replace(game, port=port, last_port=None) for port in (10, 11, 12))
    assert found.removed == ("tcp:8", "tcp:9")
    assert cbor2.loads(data)["routes"] == [
        {
            "kind": "udp_range",
            "name": "game",
            "port": 10,
            "last_port": 12,
            "tenant": TENANT,
            "allow": ["192.0.2.0/24"],
            "deny": [],
        }
    ]


def test_http_2_is_on_the_way_only_where_it_is_spoken() -> None:
    plain = Route(ServiceKind.HTTPS, "a.eu", TenantId(TENANT), tls_mode=TlsMode.TERMINATE)
    routes = plain, replace(plain, http2=True)
    sent = cbor2.loads(encode_delta(RouteDelta(7, snapshot=False, routes=routes)))["routes"]

    assert sent == [{**ROUTE, "tls": "terminate"}, {**ROUTE, "tls": "terminate", "http2": True}]
    assert decode_delta(cbor2.dumps({**DELTA, "routes": sent})).routes == routes


def test_keys_that_are_no_ranges_are_removed_as_they_are() -> None:
    keys = ["https:8-9", "tcp:9-8", "tcp:ssh", "udp:1", "sctp:1-2"]

    assert decode_delta(cbor2.dumps({**DELTA, "removed": keys})).removed == tuple(keys)


@pytest.mark.parametrize("last_port", [10, 9, 522])
def test_a_range_of_a_length_not_known_here_is_left_out(last_port: int) -> None:
    game = {"kind": "tcp_range", "name": "g", "port": 10, "last_port": last_port, "tenant": TENANT}

    assert decode_delta(cbor2.dumps({**DELTA, "routes": [game, ROUTE]})).routes[0].name == "a.eu"
    assert decode_delta(cbor2.dumps({**DELTA, "routes": [game | {"last_port": 521}]})).routes


def test_ranges_of_too_many_ports_in_all_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(routes, "MAX_ITEMS", 5)
    game = Route(ServiceKind.UDP, "game", TenantId(TENANT), 10, last_port=14)
    fits = RouteDelta(7, snapshot=True, routes=(game,), removed=("tcp:1-5",))

    assert len(decode_delta(encode_delta(fits)).routes) == 5
    for more in ({"routes": (replace(game, last_port=15),)}, {"removed": ("tcp:1-6",)}):
        with pytest.raises(ProtocolError, match="more than 5 routes") as caught:
            decode_delta(encode_delta(replace(fits, **more)))
        assert caught.value.code is Code.TOO_LARGE


@pytest.mark.parametrize(
    "changed",
    [
        {"kind": "sctp"},
        {"tls": "later"},
        {"name": "a+b.eu"},
        {"allow": ["not.a.network"]},
        {"deny": ["192.0.2.1/32"] * 65, "allow": [f"10.0.{number}.0/24" for number in range(65)]},
    ],
)
def test_routes_of_a_kind_mode_name_or_network_not_known_here_are_left_out(
    changed: dict[str, object],
) -> None:
    found = decode_delta(cbor2.dumps({**DELTA, "routes": [{**ROUTE, **changed}, ROUTE]}))

    assert [route.name for route in found.routes] == ["a.eu"]


@pytest.mark.parametrize(
    ("value", "code"),
    [
        ([], Code.MALFORMED),
        ({**DELTA, "v": 2}, Code.UNSUPPORTED_VERSION),
        ({**DELTA, "revision": -1}, Code.MALFORMED),
        ({**DELTA, "snapshot": 1}, Code.MALFORMED),
        ({**DELTA, "removed": [1]}, Code.MALFORMED),
        ({**DELTA, "blocked": [b"short"]}, Code.MALFORMED),
        ({**DELTA, "routes": [{**ROUTE, "tenant": b"short"}]}, Code.MALFORMED),
        ({**DELTA, "routes": [{**ROUTE, "allow": [1]}]}, Code.MALFORMED),
        ({**DELTA, "limits": [{"tenant": b"short"}]}, Code.MALFORMED),
        ({**DELTA, "limits": [{"tenant": TENANT, "bandwidth": -1}]}, Code.MALFORMED),
        ({**DELTA, "routes": [{**ROUTE, "port": 1}]}, Code.MALFORMED),
        ({**DELTA, "routes": [{**ROUTE, "kind": "tcp"}]}, Code.MALFORMED),
        ({**DELTA, "routes": [{**PORT, "kind": "tcp_range"}]}, Code.MALFORMED),
        ({**DELTA, "routes": [{**PORT, "last_port": 3}]}, Code.MALFORMED),
        ({**DELTA, "routes": [{**PORT, "kind": "tcp_range", "last_port": 65_536}]}, Code.MALFORMED),
    ],
)
def test_other_deltas_are_refused(value: object, code: Code) -> None:
    with pytest.raises(ProtocolError) as caught:
        decode_delta(cbor2.dumps(value))

    assert caught.value.code is code


def test_an_answer_above_the_limit_is_refused_unread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(routes, "MAX_DELTA_BYTES", 10)

    with pytest.raises(ProtocolError) as caught:
        decode_delta(bytes(11))

    assert caught.value.code is Code.TOO_LARGE


@given(st.binary(max_size=200))
def test_garbage_is_refused(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        decode_delta(data)
