"""Ports that the hub chooses: kept where there is one, else the lowest reserved one, and never twice."""

from collections.abc import Collection

import pytest
from hypothesis import given
from hypothesis import strategies as st

from towonel.hub.core.port_choice import PortOffer, choose_ports, needs_port
from towonel.hub.core.ports import PortRules, Range
from towonel.wire.errors import Code, Denied
from towonel.wire.ids import TenantId
from towonel.wire.names import ServiceKind
from towonel.wire.routes import Route

A = TenantId(b"a" * 32)


def tcp(name: str, port: int | None = None) -> Route:
    return Route(ServiceKind.TCP, name, A, port)


def udp(name: str, port: int | None = None) -> Route:
    return Route(ServiceKind.UDP, name, A, port)


def https(name: str) -> Route:
    return Route(ServiceKind.HTTPS, name, A)


def reserved(first: int, last: int | None = None, protocol: str = "tcp") -> Range:
    return Range(protocol, first, first if last is None else last, A)


def choose(
    *routes: Route,
    ranges: Collection[Range] = (),
    own: Collection[Route] = (),
    taken: Collection[str] = (),
    elsewhere: Collection[Route] = (),
    rules: PortRules | None = None,
) -> list[str]:
    """The keys of these routes, once each has its port."""
    offer = PortOffer(own, list(ranges), taken, elsewhere)
    return [route.key for route in choose_ports(routes, offer, rules or PortRules())]


def refusal(*routes: Route, ranges: Collection[Range] = (), taken: Collection[str] = ()) -> str:
    with pytest.raises(Denied) as caught:
        choose(*routes, ranges=ranges, taken=taken)
    assert caught.value.code is Code.PORT_CONFLICT
    return caught.value.detail


def test_a_service_gets_the_lowest_reserved_port_that_is_free() -> None:
    ranges = [reserved(3000, 3001), reserved(2222), reserved(1024, 1025, "udp")]

    assert choose(tcp("a"), tcp("b"), tcp("c"), ranges=ranges) == [
        "tcp:2222",
        "tcp:3000",
        "tcp:3001",
    ]
    assert choose(tcp("a"), ranges=ranges, taken={"tcp:2222", "udp:3000"}) == ["tcp:3000"]


def test_each_protocol_has_ports_of_its_own() -> None:
    ranges = [reserved(2222), reserved(2222, protocol="udp")]

    assert choose(tcp("a"), udp("a"), ranges=ranges) == ["tcp:2222", "udp:2222"]
    assert "udp:a" in refusal(tcp("a"), udp("a"), ranges=ranges[:1])


def test_a_port_that_the_request_names_is_not_chosen_wherever_it_names_it() -> None:
    ranges = [reserved(2222, 2223)]

    assert choose(tcp("a"), tcp("b", 2222), ranges=ranges) == ["tcp:2223", "tcp:2222"]


def test_a_service_keeps_the_port_that_it_has() -> None:
    ranges, own = [reserved(2222, 2229)], [tcp("ssh", 2225), udp("ssh", 2226)]

    assert choose(tcp("web"), tcp("ssh"), ranges=ranges, own=own) == ["tcp:2222", "tcp:2225"]
    # Also while another group publishes it, too.
    assert choose(tcp("ssh"), ranges=ranges, own=own, taken={"tcp:2225"}) == ["tcp:2225"]


def test_a_service_keeps_no_port_that_is_not_reserved_any_more() -> None:
    assert choose(tcp("ssh"), ranges=[reserved(3000)], own=[tcp("ssh", 2222)]) == ["tcp:3000"]


def test_a_service_keeps_no_port_that_the_request_names_for_another() -> None:
    ranges, own = [reserved(2222, 2223)], [tcp("ssh", 2222)]

    assert choose(tcp("ssh"), tcp("git", 2222), ranges=ranges, own=own) == ["tcp:2223", "tcp:2222"]


def test_a_service_has_the_port_that_another_group_publishes_it_on() -> None:
    ranges, elsewhere = [reserved(2222, 2229)], [tcp("ssh", 2225), udp("ssh", 2226)]
    taken = {"tcp:2225", "udp:2226"}

    assert choose(tcp("ssh"), ranges=ranges, taken=taken, elsewhere=elsewhere) == ["tcp:2225"]
    # Whatever it had itself, or is reserved.
    own = [tcp("ssh", 2223)]
    assert choose(tcp("ssh"), ranges=ranges, own=own, elsewhere=elsewhere) == ["tcp:2225"]
    assert choose(tcp("ssh"), taken=taken, elsewhere=elsewhere) == ["tcp:2225"]
    # Not where the request names it for another service: the plan refuses that.
    assert choose(
        *(tcp("ssh"), tcp("git", 2225)), ranges=ranges, taken=taken, elsewhere=elsewhere
    ) == ["tcp:2222", "tcp:2225"]


def test_the_port_of_a_service_that_ends_is_free_for_the_next() -> None:
    assert choose(tcp("new"), ranges=[reserved(2222)], own=[tcp("old", 2222)]) == ["tcp:2222"]


def test_ports_that_no_tenant_may_have_are_neither_chosen_nor_kept() -> None:
    ranges, rules = [reserved(1023, 1026)], PortRules(own={1024})

    assert choose(tcp("a"), ranges=ranges, rules=rules) == ["tcp:1025"]
    assert choose(tcp("a"), ranges=ranges, own=[tcp("a", 1024)], rules=rules) == ["tcp:1025"]
    assert choose(tcp("a"), ranges=ranges, rules=PortRules(privileged=True)) == ["tcp:1023"]


def test_routes_that_need_no_port_stay_as_they_are() -> None:
    routes = [https("a.eu"), tcp("ssh", 2222), https("b.eu")]

    assert choose(*routes) == ["https:a.eu", "tcp:2222", "https:b.eu"]
    assert [needs_port(it) for it in (*routes, tcp("a"), udp("a"))] == [False] * 3 + [True] * 2


def test_without_a_reservation_each_service_is_named_with_what_to_do() -> None:
    detail = refusal(tcp("git"), https("a.eu"), tcp("ssh"))

    assert detail == (
        "tcp:git: its port is `auto`, and no tcp port is reserved for this tenant; "
        "tcp:ssh: its port is `auto`, and no tcp port is reserved for this tenant; "
        f"reserve a port with `towonel port reserve --tenant-id {A.hex()} --protocol tcp`,"
        " or name one"
    )


def test_where_all_reserved_ports_are_taken_they_are_named() -> None:
    ranges = [reserved(3000, 3001), reserved(2222), reserved(1, 1, "udp")]
    detail = refusal(tcp("a"), tcp("b"), tcp("c"), udp("d"), ranges=ranges, taken={"tcp:2222"})

    assert detail.startswith(
        "tcp:c: its port is `auto`, and none that is reserved is free: tcp:2222, tcp:3000-3001; "
        "udp:d: its port is `auto`, and none that is reserved is free: udp:1; "
    )
    assert "--protocol tcp` and `towonel port reserve" in detail


PORTS = st.integers(2000, 2009)


@given(
    st.lists(st.sampled_from("abcdef"), unique=True),
    st.dictionaries(st.sampled_from("uvwxyz"), PORTS),
    st.dictionaries(PORTS, st.sampled_from("abcdefg")),
    st.sets(PORTS),
)
def test_no_port_is_given_twice_nor_taken_from_anybody(
    names: list[str], named: dict[str, int], held: dict[int, str], taken: set[int]
) -> None:
    asked = [*map(tcp, names), *(tcp(name, port) for name, port in named.items())]
    own = [tcp(name, port) for port, name in held.items() if port not in taken]
    foreign = {f"tcp:{port}" for port in taken}
    offer = PortOffer(own, [reserved(2000, 2009)], foreign)
    try:
        chosen = choose_ports(asked, offer, PortRules())
    except Denied:
        return
    given_ports = [route.key for route in chosen if route.name in names]

    assert [route.name for route in chosen] == [route.name for route in asked]
    assert not foreign & set(given_ports)
    assert not {f"tcp:{port}" for port in named.values()} & set(given_ports)
    assert len(set(given_ports)) == len(given_ports)


def test_ports_of_ranges_are_not_chosen() -> None:
    game = Route(ServiceKind.TCP, "game", A, 2000, last_port=2002)
    ranges = [reserved(2000, 2010)]

    assert choose(game, tcp("any"), ranges=ranges) == ["tcp:2000-2002", "tcp:2003"]
    assert choose(game, tcp("any"), ranges=ranges, own=[tcp("any", 2001)]) == [
        "tcp:2000-2002",
        "tcp:2003",
    ]
    assert choose(tcp("game"), ranges=ranges, own=[game]) == ["tcp:2000"]
