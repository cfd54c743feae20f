"""UDP services: valid ones, their defaults, and mistakes reported with item, field, rule and fix."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from towonel.agent.core.services import Origin, ProxyProtocol, Service
from towonel.agent.core.udp_services import parse_udp_services
from towonel.wire.names import ServiceKey, ServiceKind
from towonel.wire.policy.client_networks import ClientNetworks

DNS = {"name": "dns", "origin": "router:53", "listen_port": 5353}


def parse_one(**fields: object) -> Service:
    (service,) = parse_udp_services(json.dumps([DNS | fields]))
    return service


def problems(*items: object) -> list[str]:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 the lines are looked at below
        parse_udp_services(json.dumps(items))
    return str(caught.value).split("\n")


def test_a_service_has_the_originals_fields_and_bounds_of_its_flows() -> None:
    assert parse_one() == Service(
        ServiceKey(ServiceKind.UDP, "dns"),
        Origin("router", 53, ProxyProtocol.NONE, 60, 64 * 1024 * 1024),
        port=5353,
    )


def test_a_range_has_the_same_ports_of_one_host() -> None:
    pbx = {"name": "pbx", "origin": "pbx", "listen_port_range": "40000-40100"}
    (service,) = parse_udp_services(json.dumps([pbx]))

    assert (service.port, service.last_port) == (40_000, 40_100)
    assert service.origin == Origin("pbx", 40_000, ProxyProtocol.NONE, 60, 64 * 2**20, 40_100)


def test_clients_of_some_networks_only_are_served_where_that_is_said() -> None:
    service = parse_one(allow_cidrs=["192.0.2.0/24"], deny_cidrs=["192.0.2.13"])

    assert service.clients == ClientNetworks(("192.0.2.0/24",), ("192.0.2.13/32",))


def test_what_is_given_is_taken() -> None:
    service = parse_one(listen_port="auto", idle_timeout_secs=86_400, max_unanswered_bytes=1024**4)

    assert service.port == "auto"
    assert (service.origin.idle_timeout_s, service.origin.max_unanswered_bytes) == (86_400, 2**40)
    assert parse_one(idle_timeout_secs=1, max_unanswered_bytes=1).origin.max_unanswered_bytes == 1
    assert parse_one(idle_timeout_secs=None, max_unanswered_bytes=None) == parse_one()


@pytest.mark.parametrize(
    ("fields", "line"),
    [
        ({"name": None}, "[0].name: is missing; give the service a name, as in dns"),
        ({"origin": None}, "[0] (dns).origin: is missing; give host:port, as in 127.0.0.1:53"),
        ({"listen_port": 0}, "[0] (dns).listen_port: must be a port from 1 to 65535, or "),
        ({"idle_timeout_secs": 0}, "of seconds from 1 to 86400; leave it out for 60, not 0"),
        ({"idle_timeout_secs": 86_401}, "not 86401"),
        (
            {"max_unanswered_bytes": 0},
            "[0] (dns).max_unanswered_bytes: must be a whole number of bytes from 1 to 1099511627776; ",
        ),
        (
            {"max_unanswered_bytes": -1},
            "leave it out for 67108864, not -1",
        ),
        ({"max_unanswered_bytes": 1024**4 + 1}, "not 1099511627777"),
        ({"max_unanswered_bytes": "5"}, "not '5'"),
        (
            {"proxy_protocol": "v2"},
            "[0] (dns).proxy_protocol: unknown field; there are name, origin, listen_port, ",
        ),
    ],
)
def test_a_mistake_is_reported_with_its_place_and_its_rule(
    fields: dict[str, object], line: str
) -> None:
    (found,) = problems(DNS | fields)

    assert line in found


def test_names_and_ports_occur_once() -> None:
    web = DNS | {"name": "web"}

    assert problems(DNS, DNS | {"listen_port": 1}, web) == [
        "[1] (dns).name: is that of [0] (dns), too; each service needs one of its own",
        "[2] (web).listen_port: is that of [0] (dns), too; each service needs one of its own",
    ]


VALUES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9)
ITEMS = st.lists(
    st.fixed_dictionaries(
        {},
        optional={
            "name": st.sampled_from(["a", "b", ""]) | VALUES,
            "origin": st.sampled_from(["a:1", "[::1]:1", "a"]) | VALUES,
            "listen_port": st.sampled_from([1, 2, "auto"]) | VALUES,
            "idle_timeout_secs": VALUES,
            "max_unanswered_bytes": VALUES,
            "port": VALUES,
        },
    )
    | VALUES,
    max_size=4,
)


@given(ITEMS.map(json.dumps))
def test_any_list_is_services_or_mistakes_with_their_places(text: str) -> None:
    try:
        found = parse_udp_services(text)
    except ValueError as error:
        assert all(line.isprintable() for line in str(error).split("\n"))
        assert all(line.startswith(("[", "is not JSON")) for line in str(error).split("\n"))
    else:
        assert all(each.origin.idle_timeout_s >= 1 for each in found)
        assert all(each.origin.max_unanswered_bytes >= 1 for each in found)
