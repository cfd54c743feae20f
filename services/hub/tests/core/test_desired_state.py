"""Desired states: what they change, and why they are refused."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import pytest

from towonel.api.services import ServiceIn
from towonel.hub.core.current_state import CurrentState
from towonel.hub.core.desired_state import Plan, check_names, hash_routes, parse, plan
from towonel.hub.core.ports import PortRules, Range
from towonel.wire.errors import Code, Denied
from towonel.wire.ids import TenantId
from towonel.wire.names import Hostname, ServiceKind
from towonel.wire.policy.client_networks import ClientNetworks
from towonel.wire.routes import Route, TlsMode

A, B = TenantId(b"a" * 32), TenantId(b"b" * 32)
HOME = ClientNetworks(("192.0.2.7/32",))
OWNERS = {Hostname("*.example.eu"): A, Hostname("taken.example.eu"): B}


def https(name: str, mode: TlsMode = TlsMode.PASSTHROUGH) -> Route:
    return Route(ServiceKind.HTTPS, name, A, None, mode)


def tcp(name: str, port: int) -> Route:
    return Route(ServiceKind.TCP, name, A, port)


def reserve(tenant_id: TenantId, first: int, last: int | None = None) -> list[Range]:
    return [Range("tcp", first, last or first, tenant_id)]


def current(*own: Route, **changes: object) -> CurrentState:
    values = {"siblings": set(), "tenants": {}, "owners": OWNERS, **changes}
    return CurrentState(own={route.key: route for route in own}, **values)  # type: ignore[arg-type]


def wanted(
    kind: ServiceKind,
    name: str,
    port: int | Literal["auto"] | None = None,
    allow: Sequence[str] = (),
    deny: Sequence[str] = (),
    last_port: int | None = None,
) -> ServiceIn:
    cidrs = {"allow_cidrs": [*allow], "deny_cidrs": [*deny]}
    ports = {"port": port, "last_port": last_port}
    return ServiceIn.model_validate({"kind": kind.value, "name": name, **ports, **cidrs})


def refusal(*routes: Route, **changes: object) -> Denied:
    with pytest.raises(Denied) as caught:
        plan(A, routes, current(**changes))
    return caught.value


def test_a_document_creates_changes_deletes_and_leaves_alone() -> None:
    one, two, three = https("1.example.eu"), https("2.example.eu"), https("3.example.eu")
    changed = https("2.example.eu", TlsMode.AGENT)

    found = plan(A, [one, changed, tcp("ssh", 2222)], current(one, two, three))

    assert found == Plan(
        created=(tcp("ssh", 2222),), changed=(changed,), deleted=(three,), unchanged=1
    )
    assert not found.is_empty
    assert found.size == 3


@pytest.mark.parametrize(
    "service",
    [
        ServiceIn(kind="https", name="a.eu", http2=True),
        ServiceIn(kind="https", name="a.eu", http2=True, tls_mode="agent"),
        ServiceIn(kind="tcp", name="a.eu", port=2222, http2=True, tls_mode="terminate"),
    ],
)
def test_http_2_is_for_names_whose_tls_ends_at_the_edge(service: ServiceIn) -> None:
    with pytest.raises(Denied, match="http2 is for https services whose tls_mode is terminate"):
        parse([service], A, PortRules())


def test_http_2_is_of_the_route_and_of_the_digest_where_it_is_wanted() -> None:
    wanted = ServiceIn(kind="https", name="a.eu", http2=True, tls_mode="terminate")
    [route] = parse([wanted], A, PortRules())

    assert route == replace(https("a.eu", TlsMode.TERMINATE), http2=True)
    assert hash_routes([route]) != hash_routes([replace(route, http2=False)])


def test_each_port_of_a_range_is_a_change() -> None:
    before, after = (replace(tcp("game", 2000), last_port=last) for last in (2009, 2010))

    assert plan(A, [after], current(before)).size == 11 + 10


def test_the_same_document_again_changes_nothing() -> None:
    one = https("1.example.eu")

    assert plan(A, [one], current(one)).is_empty


def test_what_a_sibling_publishes_too_is_not_deleted() -> None:
    one = https("1.example.eu")

    assert plan(A, [], current(one, siblings={one.key})).deleted == ()
    assert plan(A, [], current(one)).deleted == (one,)


def test_every_name_that_cannot_be_had_is_told_with_its_reason() -> None:
    error = refusal(
        https("z.org"),
        https("ok.example.eu"),
        https("taken.example.eu"),
        tcp("ssh", 2222),
        https("y.org"),
        tenants={"tcp:2222": B},
    )

    assert error.code is Code.HOSTNAME_NOT_OWNED
    assert error.detail == (
        "not covered by this invite: y.org, z.org; "
        "owned by another tenant's more specific invite: taken.example.eu; "
        "taken by another tenant: tcp:2222"
    )


def test_a_name_that_a_more_specific_invite_owns_is_a_conflict() -> None:
    error = refusal(https("taken.example.eu"), tcp("ssh", 2222), tenants={"tcp:2222": B})

    assert error.code is Code.HOSTNAME_CONFLICT


@pytest.mark.parametrize("mode", [TlsMode.PASSTHROUGH, TlsMode.AGENT])
def test_a_name_of_two_groups_has_one_end_of_tls(mode: TlsMode) -> None:
    inside = replace(https("3.example.eu", TlsMode.TERMINATE), http2=True)
    beside = [("home", https(f"{number}.example.eu", mode)) for number in (1, 2)]
    beside.append(("cloud", inside))
    wanted = https("1.example.eu", TlsMode.TERMINATE), https("2.example.eu")
    error = refusal(*wanted, replace(inside, http2=False), beside=beside)

    assert error.code is Code.HOSTNAME_CONFLICT
    assert error.detail == (
        "published by another group of this tenant with another end of TLS, or other HTTP inside it; give"
        " it the same tls_mode and http2, or publish it by one group while they change:"
        f" 1.example.eu (group home, {mode}), 3.example.eu (group cloud, terminate with http2)"
    )


def test_a_hostname_goes_to_its_owner_whoever_publishes_it_now() -> None:
    mine = https("1.example.eu")

    assert plan(A, [mine], current(tenants={mine.key: B})).created == (mine,)


def test_a_port_stays_with_the_tenant_that_has_it() -> None:
    tenants = {"tcp:2222": B, "tcp:1": A}
    error = refusal(tcp("ssh", 2222), tcp("x", 1), tenants=tenants, reserved=reserve(B, 2222))

    assert error.code is Code.PORT_CONFLICT
    assert error.detail == "taken by another tenant: tcp:2222"


def test_a_port_reserved_for_another_is_refused_and_ones_own_is_not() -> None:
    error = refusal(
        tcp("ssh", 2222), tcp("x", 2223), reserved=[*reserve(B, 2222), *reserve(A, 2223)]
    )

    assert error.code is Code.PORT_CONFLICT
    assert error.detail == "reserved for another tenant: tcp:2222"


def test_where_ports_must_be_reserved_only_those_reserved_for_the_tenant_can_be_had() -> None:
    requested = [tcp("a", 2221), tcp("b", 2222), tcp("c", 2223), tcp("d", 2224)]
    there = current(reserved=[*reserve(A, 2221), *reserve(B, 2222)], tenants={"tcp:2224": B})
    with pytest.raises(Denied) as caught:
        plan(A, requested, there, reserved_only=True)

    assert caught.value.code is Code.PORT_CONFLICT
    assert caught.value.detail == (
        "taken by another tenant: tcp:2224; reserved for another tenant: tcp:2222; "
        "not reserved for this tenant, as this hub requires: tcp:2223"
    )
    assert plan(A, requested[:1], there, reserved_only=True).created == (requested[0],)


def test_who_publishes_a_port_keeps_it_once_its_reservation_is_released() -> None:
    held = tcp("a", 2221)
    there = current(held, tenants={"tcp:2221": A})
    with pytest.raises(Denied) as caught:
        plan(A, [held, tcp("b", 2222)], there, reserved_only=True)

    assert caught.value.detail == "not reserved for this tenant, as this hub requires: tcp:2222"
    assert plan(A, [held], there, reserved_only=True).is_empty
    assert plan(A, [], there, reserved_only=True).deleted == (held,)


def test_a_name_that_another_group_publishes_on_another_port_is_refused_with_the_fix() -> None:
    elsewhere = [
        ("blue", tcp("ssh", 2223)),
        ("red", tcp("ssh", 2224)),
        ("red", tcp("git", 2222)),
        ("red", tcp("db", 5432)),
        ("red", Route(ServiceKind.UDP, "db", A, 5433)),
    ]
    error = refusal(tcp("ssh", 2222), tcp("db", 5432), https("z.example.eu"), elsewhere=elsewhere)

    assert error.code is Code.PORT_CONFLICT
    assert error.detail == (
        "published by another group on another port; give the service another name, or the same port: "
        "tcp:ssh (group blue, port 2223), tcp:ssh (group red, port 2224)"
    )


def test_a_port_that_edges_are_reached_at_is_refused_unless_it_was_there_before() -> None:
    edges = {2222: "edge.eu:2222", 2223: "edge.eu:2223", 2224: "edge.eu:2224"}
    tenants = {"tcp:2223": A, "tcp:2224": B}
    wanted = [tcp("ssh", 2222), tcp("git", 2223), tcp("db", 2224), tcp("web", 2225)]
    error = refusal(*wanted, https("z.example.eu"), edges=edges, tenants=tenants)

    assert error.code is Code.PORT_CONFLICT
    assert error.detail == (
        "taken by another tenant: tcp:2224; "
        "an edge is reached there; give the service another port: tcp:2222 (edge.eu:2222)"
    )


def test_services_become_routes() -> None:
    requested = [wanted(ServiceKind.HTTPS, "App.Example.eu"), wanted(ServiceKind.UDP, "game", 2000)]

    routes = parse(requested, A, PortRules())

    assert [route.key for route in routes] == ["https:app.example.eu", "udp:2000"]


def test_a_port_that_is_left_to_the_hub_is_none_yet() -> None:
    requested = [
        wanted(ServiceKind.TCP, "2222", "auto"),
        wanted(ServiceKind.UDP, "2222", "auto"),
        wanted(ServiceKind.TCP, "ssh", 2222),
    ]
    routes = parse(requested, A, PortRules())

    assert [(route.name, route.port) for route in routes] == [
        ("2222", None),
        ("2222", None),
        ("ssh", 2222),
    ]


def test_a_service_that_occurs_twice_is_refused_whatever_its_ports() -> None:
    for port in ("auto", 2222):
        twice = [wanted(ServiceKind.TCP, "ssh", "auto"), wanted(ServiceKind.TCP, "ssh", port)]
        with pytest.raises(Denied, match="tcp:ssh: occurs twice"):
            parse(twice, A, PortRules())
    with pytest.raises(Denied, match="an https service has no port"):
        parse([wanted(ServiceKind.HTTPS, "a.eu", "auto")], A, PortRules())


def test_low_ports_need_the_operators_word() -> None:
    low = [wanted(ServiceKind.TCP, "smtp", 25)]

    assert parse(low, A, PortRules(privileged=True))[0].port == 25
    with pytest.raises(Denied, match="TOWONEL_HUB_ALLOW_PRIVILEGED_PORTS"):
        parse(low, A, PortRules())


def test_a_range_is_one_route() -> None:
    (route,) = parse([wanted(ServiceKind.UDP, "game", 2000, last_port=2511)], A, PortRules())

    assert (route.key, len(route.ports)) == ("udp:2000-2511", 512)


@pytest.mark.parametrize(
    ("port", "last_port", "problem"),
    [
        (2000, 2512, "udp:x: 2000-2512: has 513 ports, and a service may have 512"),
        (2000, 2000, "udp:x: 2000-2000: the first port must be below the last"),
        ("auto", 2000, "udp:x: last_port needs the first port of its range"),
        (None, 2000, "udp:x: a udp service needs a port"),
        (1000, 1100, "udp:x: port 1000 is below 1024"),
        (4999, 5003, "udp:x: port 5001 is the hub's or an edge's own"),
    ],
)
def test_a_range_that_cannot_be_had_is_refused_with_its_rule(
    port: int | Literal["auto"] | None, last_port: int, problem: str
) -> None:
    with pytest.raises(Denied) as caught:
        parse(
            [wanted(ServiceKind.UDP, "x", port, last_port=last_port)],
            A,
            PortRules(own=[5002, 5001]),
        )

    assert caught.value.code is Code.INVALID_REQUEST
    assert caught.value.detail.startswith(problem)


def test_a_port_of_a_range_belongs_to_no_other_service_of_the_document() -> None:
    game = wanted(ServiceKind.TCP, "game", 2000, last_port=2010)

    with pytest.raises(Denied, match=r": tcp:2005: has port 2005 of tcp:2000-2010, too$"):
        parse([game, wanted(ServiceKind.TCP, "ssh", 2005)], A, PortRules())
    with pytest.raises(Denied, match="an https service has no port"):
        parse([wanted(ServiceKind.HTTPS, "a.eu", last_port=5)], A, PortRules())


def test_a_range_that_grows_is_another_route_in_place_of_the_one_before() -> None:
    before, after = (replace(tcp("game", 2000), last_port=last) for last in (2010, 2020))
    found = plan(A, [after], current(before, overlapping=[before]))

    assert (found.created, found.deleted) == ((after,), (before,))


def test_every_broken_service_is_told_at_once() -> None:
    with pytest.raises(Denied) as caught:
        parse(
            [
                wanted(ServiceKind.HTTPS, "a b.eu"),
                wanted(ServiceKind.HTTPS, "a.eu", 443),
                wanted(ServiceKind.TCP, "ssh"),
                wanted(ServiceKind.TCP, "one", 2000),
                wanted(ServiceKind.TCP, "two", 2000),
                wanted(ServiceKind.UDP, "twice", 1),
                wanted(ServiceKind.HTTPS, "b.eu"),
                wanted(ServiceKind.HTTPS, "b.eu"),
            ],
            A,
            PortRules(privileged=True),
        )

    assert caught.value.code is Code.INVALID_REQUEST
    for part in ("a b.eu", "no port", "tcp:ssh", "tcp:2000: occurs twice", "https:b.eu: occurs"):
        assert part in caught.value.detail


def test_a_digest_is_of_what_is_published_and_stays_the_same_in_later_versions() -> None:
    routes = [https("b.example.eu"), tcp("ssh", 2222)]
    digest = hash_routes(routes)

    assert digest.hex() == "49d5f29bfe9b329e152bd29764cb229fe56bdbacf8c55a4d8509928bbd362126"
    assert hash_routes(reversed(routes)) == digest
    others = [
        [https("b.example.eu")],
        [https("b.example.eu", TlsMode.TERMINATE), tcp("ssh", 2222)],
        [https("b.example.eu"), tcp("sftp", 2222)],
        [https("b.example.eu"), tcp("ssh", 2223)],
        [https("b.example.eu"), replace(tcp("ssh", 2222), clients=HOME)],
    ]
    assert digest not in {hash_routes(other) for other in others}


@pytest.mark.parametrize(
    ("kind", "name", "port"),
    [
        (ServiceKind.HTTPS, "app.example.eu", None),
        (ServiceKind.TCP, "ssh", 2222),
        (ServiceKind.TCP, "ssh", "auto"),
    ],
)
def test_a_service_says_for_whose_clients_it_is(
    kind: ServiceKind, name: str, port: int | Literal["auto"] | None
) -> None:
    (route,) = parse([wanted(kind, name, port, ["192.0.2.7/32"])], A, PortRules())
    (open_route,) = parse([wanted(kind, name, port)], A, PortRules())

    assert route == replace(open_route, clients=HOME)
    assert plan(A, [route], current(open_route)).changed == (route,)


def test_networks_that_are_none_are_refused_by_the_name_of_their_service() -> None:
    services = [wanted(ServiceKind.HTTPS, "a.eu", deny=["192.0.2.7/24"])]
    with pytest.raises(Denied) as caught:
        parse(services, A, PortRules())

    assert caught.value.code is Code.INVALID_REQUEST
    assert caught.value.detail == (
        "https:a.eu: '192.0.2.7/24' is not a network such as 192.0.2.0/24"
    )


def test_a_name_that_edges_answer_themselves_is_no_tenants() -> None:
    reserved = {"hub.example.eu", "api.example.eu"}
    check_names([https("*.example.eu"), tcp("hub.example.eu", 22)], reserved)
    with pytest.raises(Denied) as caught:
        check_names([https("hub.example.eu"), https("a.example.eu")], reserved)

    assert caught.value.code is Code.HOSTNAME_CONFLICT
    assert "the hub's own, which edges answer themselves: hub.example.eu;" in caught.value.detail
