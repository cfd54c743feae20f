"""Route table: deltas, snapshots, wildcards and blocked tenants."""

from hypothesis import given
from hypothesis import strategies as st

from towonel.edge.core.route_table import (
    RouteTable,
    TableChange,
    find_hostname,
    find_port,
    name_port,
    route_keys,
)
from towonel.wire.ids import TenantId
from towonel.wire.names import Hostname, ServiceKind
from towonel.wire.policy.tenant_limits import NO_LIMITS, TenantLimits
from towonel.wire.routes import Route, RouteDelta, TlsMode, decode_delta, encode_delta

ALICE, BOB = TenantId(b"a" * 32), TenantId(b"b" * 32)


def https(name: str, tenant: TenantId = ALICE, mode: TlsMode = TlsMode.PASSTHROUGH) -> Route:
    return Route(ServiceKind.HTTPS, name, tenant, tls_mode=mode)


def table(*routes: Route, revision: int = 1) -> RouteTable:
    made = RouteTable()
    made.apply(RouteDelta(revision, snapshot=True, routes=routes))
    return made


def test_a_new_table_knows_nothing_and_no_revision() -> None:
    new = RouteTable()

    assert new.revision is None
    assert len(new) == 0
    assert new.lookup(Hostname("app.example.eu")) is None
    assert new.snapshot() == RouteDelta(0, snapshot=True)


def test_an_exact_name_goes_before_a_wildcard() -> None:
    both = table(https("*.example.eu", BOB), https("app.example.eu", ALICE))

    assert both.lookup(Hostname("app.example.eu")) == https("app.example.eu", ALICE)
    assert both.lookup(Hostname("web.example.eu")) == https("*.example.eu", BOB)


def test_a_wildcard_stands_for_exactly_one_label() -> None:
    wild = table(https("*.example.eu"))

    assert wild.lookup(Hostname("a.example.eu")) is not None
    assert wild.lookup(Hostname("a.b.example.eu")) is None
    assert wild.lookup(Hostname("example.eu")) is None
    assert wild.lookup(Hostname("aexample.eu")) is None


def test_a_tcp_service_with_a_hostname_as_its_name_is_no_https_route() -> None:
    tcp = table(Route(ServiceKind.TCP, "app.example.eu", ALICE, port=2222))

    assert tcp.lookup(Hostname("app.example.eu")) is None
    assert len(tcp) == 1


def test_a_delta_adds_alters_and_removes() -> None:
    routes = table(https("kept.example.eu"), https("old.example.eu"), https("mode.example.eu"))
    altered = https("mode.example.eu", mode=TlsMode.AGENT)
    now = (https("new.example.eu"), altered, https("kept.example.eu"))
    gone = ("https:old.example.eu", "https:never.example.eu")

    change = routes.apply(RouteDelta(2, snapshot=False, routes=now, removed=gone))

    assert change.changed == {
        "https:new.example.eu",
        "https:mode.example.eu",
        "https:old.example.eu",
    }
    assert routes.revision == 2
    assert routes.lookup(Hostname("old.example.eu")) is None
    assert routes.lookup(Hostname("mode.example.eu")) == altered
    assert len(routes) == 3


def test_a_route_removed_and_added_in_one_delta_stays() -> None:
    routes = table(https("app.example.eu", ALICE))

    change = routes.apply(
        RouteDelta(
            2,
            snapshot=False,
            routes=(https("app.example.eu", BOB),),
            removed=("https:app.example.eu",),
        )
    )

    assert change.changed == {"https:app.example.eu"}
    assert routes.lookup(Hostname("app.example.eu")) == https("app.example.eu", BOB)


def test_a_snapshot_replaces_all_there_was_also_with_an_older_revision() -> None:
    routes = table(https("old.example.eu"), https("kept.example.eu"), revision=9)
    routes.apply(RouteDelta(10, snapshot=False, blocked=(ALICE, BOB)))

    change = routes.apply(
        RouteDelta(3, snapshot=True, routes=(https("kept.example.eu"),), blocked=(BOB,))
    )

    assert change == TableChange(
        frozenset({"https:old.example.eu"}), frozenset(), frozenset({ALICE})
    )
    assert routes.revision == 3
    assert routes.is_blocked(BOB)
    assert not routes.is_blocked(ALICE)
    assert len(routes) == 1


def test_the_same_snapshot_again_changes_nothing() -> None:
    routes = table(https("app.example.eu"))

    again = routes.apply(RouteDelta(1, snapshot=True, routes=(https("app.example.eu"),)))

    assert not again
    assert TableChange(changed=frozenset({"x"}))
    assert TableChange(blocked=frozenset({ALICE}))
    assert TableChange(unblocked=frozenset({ALICE}))


def test_a_blocked_tenant_is_reported_once_and_its_names_lead_nowhere() -> None:
    routes = table(https("app.example.eu", ALICE), https("*.example.eu", BOB))

    first = routes.apply(RouteDelta(2, snapshot=False, blocked=(ALICE,)))
    again = routes.apply(RouteDelta(3, snapshot=False, blocked=(ALICE,)))

    assert first.blocked == {ALICE}
    assert again.blocked == frozenset()
    assert routes.lookup(Hostname("app.example.eu")) is None
    assert routes.lookup(Hostname("web.example.eu")) == https("*.example.eu", BOB)


def test_an_unblocked_tenant_has_its_routes_back() -> None:
    routes = table(https("app.example.eu", ALICE))
    routes.apply(RouteDelta(2, snapshot=False, blocked=(ALICE,)))
    assert routes.lookup(Hostname("app.example.eu")) is None

    change = routes.apply(RouteDelta(3, snapshot=False, unblocked=(ALICE, BOB)))

    assert change.unblocked == {ALICE}
    assert routes.lookup(Hostname("app.example.eu")) is not None


def test_a_tenant_both_blocked_and_unblocked_is_blocked() -> None:
    routes = table()
    routes.apply(RouteDelta(2, snapshot=False, blocked=(ALICE,)))

    change = routes.apply(RouteDelta(3, snapshot=False, blocked=(ALICE,), unblocked=(ALICE,)))

    assert not change
    assert routes.is_blocked(ALICE)


def test_a_copy_does_not_change_with_the_table() -> None:
    routes = table(https("app.example.eu", ALICE), https("*.example.eu", BOB), revision=3)
    copied, before = routes.copy(), routes.snapshot()

    assert copied.snapshot() == before
    routes.apply(RouteDelta(4, snapshot=False, removed=("https:app.example.eu",), blocked=(BOB,)))
    assert copied.snapshot() == before


names = st.sampled_from([f"{label}.example.eu" for label in ("a", "b", "c", "*")])
tenants = st.sampled_from([ALICE, BOB])
some_routes = st.lists(st.builds(https, names, tenants), unique_by=lambda route: route.key)
deltas = st.builds(
    RouteDelta,
    st.integers(0, 2**40),
    st.booleans(),
    some_routes.map(tuple),
    st.lists(names.map("https:{}".format)).map(tuple),
    st.lists(tenants).map(tuple),
    st.lists(tenants).map(tuple),
)


@given(st.lists(deltas, min_size=1))
def test_the_snapshot_of_a_table_builds_its_equal(history: list[RouteDelta]) -> None:
    one, other = RouteTable(), RouteTable()
    for delta in history:
        one.apply(delta)

    other.apply(decode_delta(encode_delta(one.snapshot())))

    assert other.snapshot() == one.snapshot()
    assert not other.apply(one.snapshot())


def test_a_name_is_decided_about_by_its_own_route_and_that_of_its_wildcard() -> None:
    assert route_keys(Hostname("a.example.eu")) == ("https:a.example.eu", "https:*.example.eu")
    assert route_keys(Hostname("example.eu")) == ("https:example.eu",)


def test_a_table_counts_its_changes() -> None:
    new = table(https("app.example.eu"))
    before = new.changes
    new.apply(RouteDelta(2, snapshot=False, blocked=(ALICE,)))

    assert new.changes == before + 1


def test_a_port_is_a_public_name_like_a_hostname() -> None:
    ssh = Route(ServiceKind.TCP, "ssh", ALICE, 2222)
    dns = Route(ServiceKind.UDP, "dns", ALICE, 2222)
    both = table(ssh, dns, https("*.example.eu"))

    assert both.lookup(name_port(2222, ServiceKind.UDP)) == dns
    assert name_port(2222) == ssh.key
    assert both.lookup(name_port(2222)) == ssh
    assert both.lookup(name_port(2223)) is None
    assert route_keys(ssh.key) == (ssh.key,)
    assert find_port(ssh.key, ServiceKind.TCP) == 2222
    assert find_port(ssh.key, ServiceKind.UDP) is None
    assert find_port("https:app.example.eu", ServiceKind.TCP) is None
    assert (find_hostname(ssh.key), find_hostname("a.example.eu")) == (None, "a.example.eu")


def test_the_port_of_a_blocked_tenant_leads_nowhere() -> None:
    blocked = table(Route(ServiceKind.TCP, "ssh", ALICE, 2222))
    blocked.apply(RouteDelta(2, snapshot=False, blocked=(ALICE,)))

    assert blocked.lookup(name_port(2222)) is None


def limited(*, snapshot: bool = False, **limits: TenantLimits) -> RouteDelta:
    by_tenant = {TenantId(name.encode() * 32): each for name, each in limits.items()}
    return RouteDelta(2, snapshot, limits=by_tenant)


def test_limits_of_tenants_are_those_that_were_said_last() -> None:
    few, many = TenantLimits(connections=1), TenantLimits(connections=9, bandwidth=8_000)
    of = table(https("app.example.eu"))

    assert of.apply(limited(a=few, b=few)) == TableChange(limited=frozenset({ALICE, BOB}))
    assert of.apply(limited(a=many, b=few)) == TableChange(limited=frozenset({ALICE}))
    assert of.limits == {ALICE: many, BOB: few}
    assert of.apply(limited(a=NO_LIMITS)) == TableChange(limited=frozenset({ALICE}))
    assert not of.apply(limited(a=NO_LIMITS))
    assert of.limits == {BOB: few}


def test_a_snapshot_replaces_all_limits() -> None:
    few, many = TenantLimits(connections=1), TenantLimits(connections=9)
    of = table()
    of.apply(limited(a=few, b=few))

    change = of.apply(limited(snapshot=True, b=many))

    assert change.limited == {ALICE, BOB}
    assert of.limits == {BOB: many}
    assert of.copy().limits == of.limits
    assert of.snapshot().limits == of.limits
    copy = of.copy()
    copy.apply(limited(b=few))
    assert of.limits == {BOB: many}
