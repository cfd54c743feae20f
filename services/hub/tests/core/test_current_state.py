"""Ranges of ports that others have, in part: refused with the first port in conflict and its rule."""

from collections.abc import Collection, Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from towonel.hub.core.current_state import (
    CurrentState,
    find_port_problems,
    find_repeated_ports,
)
from towonel.hub.core.ports import Range
from towonel.wire.ids import TenantId
from towonel.wire.names import ServiceKind
from towonel.wire.routes import Route

A, B = TenantId(b"a" * 32), TenantId(b"b" * 32)


def tcp(name: str, first: int, last: int | None = None, tenant: TenantId = A) -> Route:
    return Route(ServiceKind.TCP, name, tenant, first, last_port=last)


def udp(name: str, first: int, last: int | None = None) -> Route:
    return Route(ServiceKind.UDP, name, A, first, last_port=last)


def reserved(tenant: TenantId, first: int, last: int, protocol: str = "tcp") -> Range:
    return Range(protocol, first, last, tenant)


def problems(
    *routes: Route,
    own: Collection[Route] = (),
    overlapping: Collection[Route] = (),
    siblings: Collection[str] = (),
    ranges: Collection[Range] = (),
    edges: Mapping[int, str] | None = None,
    tenants: Mapping[str, TenantId] | None = None,
    elsewhere: Collection[tuple[str, Route]] = (),
    reserved_only: bool = False,
) -> list[tuple[str, list[str]]]:
    """What is wrong with the routes of a group: reasons, and the services that they keep from their ports."""
    current = CurrentState(
        own={route.key: route for route in own},
        siblings=siblings,
        tenants=tenants or {},
        owners={},
        reserved=ranges,
        elsewhere=elsewhere,
        edges=edges or {},
        overlapping=overlapping,
    )
    found = find_port_problems(A, routes, current, reserved_only=reserved_only)
    return [(why, sorted(names)) for why, names in found if names]


GAME = tcp("game", 10, 19)


def test_a_range_with_a_port_of_another_tenant_is_refused_and_the_first_such_port_named() -> None:
    taken = [tcp("x", 15, tenant=B), tcp("y", 12, 13, B), tcp("z", 1, 9, B)]

    assert problems(GAME, overlapping=taken) == [
        ("taken by another tenant", ["tcp:10-19 (port 12)"])
    ]
    assert problems(tcp("one", 5), overlapping=[tcp("z", 1, 9, B)]) == [
        ("taken by another tenant", ["tcp:5"])
    ]
    assert problems(udp("game", 10, 19), overlapping=taken) == []


def test_a_range_must_not_have_a_port_that_is_reserved_for_another_tenant() -> None:
    ranges = [reserved(A, 1, 14), reserved(B, 15, 99), reserved(B, 10, 10, "udp")]

    assert problems(GAME, ranges=ranges) == [
        ("reserved for another tenant", ["tcp:10-19 (port 15)"])
    ]
    taken = problems(GAME, ranges=ranges, overlapping=[tcp("x", 19, tenant=B)])
    assert taken == [("taken by another tenant", ["tcp:10-19 (port 19)"])]


@pytest.mark.parametrize(
    ("ranges", "first"),
    [
        ([], 10),
        ([(1, 9)], 10),
        ([(1, 10)], 11),
        ([(15, 19), (1, 13)], 14),
        ([(1, 14), (15, 30)], None),
        ([(10, 18)], 19),
    ],
)
def test_where_ports_must_be_reserved_all_of_a_range_must_be(
    ranges: list[tuple[int, int]], first: int | None
) -> None:
    names = [] if first is None else [f"tcp:10-19 (port {first})"]
    found = problems(GAME, ranges=[reserved(A, *it) for it in ranges], reserved_only=True)

    assert found == [
        ("not reserved for this tenant, as this hub requires", names) for _ in range(bool(names))
    ]


def test_ports_that_a_group_publishes_already_need_no_reservation() -> None:
    web = Route(ServiceKind.HTTPS, "a.eu", A)
    grown, own = [reserved(A, 15, 19)], [web, tcp("game", 10, 14)]

    assert problems(GAME, own=own, ranges=grown, reserved_only=True) == []
    assert problems(GAME, tenants={GAME.key: A}, reserved_only=True) == []
    assert problems(udp("game", 10, 19), own=own, ranges=grown, reserved_only=True) != []


def test_the_first_port_of_a_range_at_which_an_edge_is_reached_is_named() -> None:
    edges = {18: "edge.eu:18", 12: "edge.eu:12"}

    assert problems(GAME, edges=edges) == [
        (
            "an edge is reached there; give the service another port",
            ["tcp:10-19 (port 12) (edge.eu:12)"],
        )
    ]
    assert problems(GAME, edges=edges, tenants={GAME.key: A}) == []
    assert problems(GAME, edges={9: "edge.eu:9"}) == []


def test_a_range_may_replace_ports_of_its_group_and_not_those_of_another_group() -> None:
    before = [tcp("game", 10, 14), tcp("other", 19)]

    assert problems(GAME, own=before, overlapping=before) == []
    assert problems(GAME, own=before, overlapping=before, siblings=["tcp:19"]) == [
        (
            "published by another group of this tenant; give one of them other ports",
            ["tcp:10-19 (port 19)"],
        )
    ]


def test_a_service_has_the_same_range_in_every_group() -> None:
    assert problems(GAME, elsewhere=[("blue", tcp("game", 10, 19))]) == []
    assert problems(GAME, elsewhere=[("blue", tcp("game", 10, 18))]) == [
        (
            "published by another group on another port; give the service another name, or the same port",
            ["tcp:game (group blue, port 10-18)"],
        )
    ]


def test_ports_that_two_services_of_one_document_want_are_named() -> None:
    routes = [tcp("a", 10, 19), tcp("b", 12, 13), tcp("c", 19, 25), tcp("d", 25), tcp("e", 26)]

    assert list(find_repeated_ports(reversed(routes))) == [
        "tcp:12-13: has port 12 of tcp:10-19, too",
        "tcp:19-25: has port 19 of tcp:10-19, too",
        "tcp:25: has port 25 of tcp:19-25, too",
    ]
    apart = [tcp("a", 10, 19), udp("a", 10, 19), tcp("b", 20), Route(ServiceKind.HTTPS, "a.eu", A)]
    assert list(find_repeated_ports([*apart, apart[0]])) == []


SPANS = st.lists(st.tuples(st.integers(1, 12), st.integers(0, 4)), max_size=4)


@given(SPANS)
def test_services_are_refused_exactly_where_two_of_them_share_a_port(
    spans: list[tuple[int, int]],
) -> None:
    ends = dict.fromkeys((first, first + more) for first, more in spans)
    routes = [tcp("x", first, last if last > first else None) for first, last in ends]
    ports = [port for route in routes for port in route.ports]

    assert bool(list(find_repeated_ports(routes))) is (len(set(ports)) < len(ports))
