"""Whose a port is, against the plainest model: a set of numbers for each protocol."""

from collections.abc import Iterable, Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from towonel.api.ports import LAST_PORT
from towonel.hub.core.ports import PortRules, Range, check_reservation, free_ports
from towonel.wire.errors import Code, Denied
from towonel.wire.ids import TenantId

A, B = TenantId(b"a" * 32), TenantId(b"b" * 32)
ANYTHING = PortRules()
NEAR = st.integers(2000, 2020)
RANGES = st.builds(
    lambda protocol, ends, tenant: Range(protocol, min(ends), max(ends), tenant),
    st.sampled_from(["tcp", "udp"]),
    st.tuples(NEAR, NEAR),
    st.sampled_from([A, B]),
)


def tcp(first: int, last: int | None = None, tenant: TenantId = A) -> Range:
    return Range("tcp", first, last or first, tenant)


def refusal(
    wanted: Range,
    rules: PortRules = ANYTHING,
    reserved: Iterable[Range] = (),
    published: Iterable[Range] = (),
    edges: Mapping[int, str] | None = None,
) -> Denied:
    with pytest.raises(Denied) as caught:
        check_reservation(wanted, rules, reserved, published, edges or {})
    return caught.value


def numbers(held: Range) -> set[tuple[str, int]]:
    return {(held.protocol, port) for port in range(held.first, held.last + 1)}


@pytest.mark.branches
@given(RANGES, RANGES)
def test_ranges_overlap_when_they_share_a_port_of_one_protocol(one: Range, two: Range) -> None:
    assert one.overlaps(two) == two.overlaps(one) == bool(numbers(one) & numbers(two))


def test_the_first_unprivileged_port_needs_no_privilege() -> None:
    problems = [PortRules().problem(port, port) for port in (1023, 1024)]

    assert [problem is None for problem in problems] == [False, True]


@pytest.mark.branches
@given(RANGES, NEAR)
def test_a_range_has_its_ends_and_what_is_between_them(held: Range, port: int) -> None:
    assert (port in held) == ((held.protocol, port) in numbers(held))
    assert held.size == len(numbers(held))


def test_a_range_is_told_as_people_write_it() -> None:
    assert str(tcp(2222)) == "tcp:2222"
    assert str(Range("udp", 5000, 5009, A)) == "udp:5000-5009"


@given(RANGES, st.lists(RANGES, max_size=4), st.lists(RANGES, max_size=4))
def test_ports_are_kept_unless_reserved_by_anybody_or_published_by_another(
    wanted: Range, reserved: list[Range], published: list[Range]
) -> None:
    own = numbers(wanted)
    retained = any(own & numbers(held) for held in reserved)
    foreign = any(own & numbers(held) for held in published if held.tenant_id != wanted.tenant_id)
    if not (retained or foreign):
        check_reservation(wanted, ANYTHING, reserved, published, {})
        return
    assert refusal(wanted, ANYTHING, reserved, published).code is Code.PORT_CONFLICT


def test_a_refusal_names_all_that_is_in_the_way_and_nothing_else() -> None:
    reserved = [tcp(2009, 2011), tcp(2000, 2001), tcp(3000), Range("udp", 2000, 2001, B)]
    retained = refusal(tcp(2000, 2010), reserved=reserved)
    published = refusal(tcp(2000, 2010), published=[tcp(2005, tenant=B), tcp(2004)])

    assert retained.detail == "reserved already: tcp:2000-2001, tcp:2009-2011"
    assert published.detail == "published by another tenant: tcp:2005"


def test_a_thousand_clashes_make_a_short_answer() -> None:
    held = [tcp(port, tenant=B) for port in range(2000, 3000)]

    assert refusal(tcp(2000, 2999), reserved=held).detail.count("tcp:") == 20
    assert refusal(tcp(2000, 2999), published=held).detail.count("tcp:") == 20


@pytest.mark.parametrize(("first", "last"), [(1, 1), (1023, 1023), (1023, 2000)])
def test_ports_below_1024_need_the_operators_leave(first: int, last: int) -> None:
    refused = refusal(tcp(first, last))
    check_reservation(tcp(first, last), PortRules(privileged=True), (), (), {})

    assert refused.code is Code.INVALID_REQUEST
    assert "TOWONEL_HUB_ALLOW_PRIVILEGED_PORTS" in refused.detail


def test_the_nodes_own_ports_are_nobodys() -> None:
    rules = PortRules(own=(8443, 2443))

    assert "port 2443 is the hub's" in refusal(tcp(2000, 9000), rules).detail
    assert "port 8443 is the hub's" in refusal(Range("udp", 8443, 8443, A), rules).detail
    assert refusal(tcp(8443), rules).code is Code.INVALID_REQUEST
    check_reservation(tcp(8444, 9000), rules, (), (), {})


def test_ports_that_edges_are_reached_at_are_nobodys() -> None:
    edges = {2443: "b.eu:2443", 2001: "a.eu:2001", 9000: "c.eu:9000"}
    refused = refusal(tcp(2000, 3000), edges=edges)

    assert refused.code is Code.PORT_CONFLICT
    assert refused.detail == (
        "an edge is reached there: 2001 (a.eu:2001), 2443 (b.eu:2443); reserve other ports"
    )
    check_reservation(tcp(2002, 2442), ANYTHING, (), (), edges)


@pytest.mark.parametrize("rules", [PortRules(own={80, 2222}), PortRules(privileged=True, own=[22])])
def test_a_port_is_allowed_if_it_has_no_problem(rules: PortRules) -> None:
    for port in (22, 80, 1023, 1024, 2222, 65_535):
        assert rules.allows(port) == (rules.problem(port, port) is None)


@pytest.mark.branches
@given(st.lists(RANGES, max_size=6), st.integers(0, 30))
def test_the_lowest_free_ports_are_those_that_nobody_holds(held: list[Range], count: int) -> None:
    rules = PortRules(own=(1024, 2001))
    taken = set().union(*map(numbers, held)) | {("tcp", port) for port in rules.own}
    model = [port for port in range(1024, 4000) if ("tcp", port) not in taken]

    assert list(free_ports("tcp", rules, held, count)) == model[:count]


def test_free_ports_begin_at_1_where_that_is_allowed() -> None:
    assert list(free_ports("udp", PortRules(privileged=True), [], 2)) == [1, 2]
    assert list(free_ports("udp", PortRules(), [], 1)) == [1024]


def test_there_are_no_free_ports_once_all_are_held() -> None:
    almost = tcp(1024, LAST_PORT - 1)

    assert list(free_ports("tcp", ANYTHING, [almost], 5)) == [LAST_PORT]
    assert list(free_ports("tcp", ANYTHING, [almost, tcp(LAST_PORT)], 5)) == []
