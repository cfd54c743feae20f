"""What edges are told, against the plainest model: an edge that takes every delta has what there is."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from towonel.hub.core.route_history import TAGS, Block, LimitsChange, RouteChange, RouteHistory
from towonel.wire.ids import TenantId
from towonel.wire.names import ServiceKind
from towonel.wire.policy.tenant_limits import NO_LIMITS, TenantLimits
from towonel.wire.routes import Route, RouteDelta

TENANTS = [TenantId(bytes([at]) * 32) for at in range(3)]
KEYS = [f"https:{name}.eu" for name in "abcd"]
type Steps = list[tuple[str, TenantId | None]]
type Life = tuple[Steps, dict[TenantId, bool]]
STEPS = st.lists(st.tuples(st.sampled_from(KEYS), st.none() | st.sampled_from(TENANTS)), max_size=5)
BLOCKS = st.dictionaries(st.sampled_from(TENANTS), st.booleans())


def step(key: str, tenant: TenantId | None, revision: int) -> RouteChange:
    if tenant is None:
        return key, None, revision
    return key, Route(ServiceKind.HTTPS, key.removeprefix("https:"), tenant), revision


def reported(*lives: Life) -> list[RouteHistory]:
    """Histories of a hub that takes a change at a time, one after each revision."""
    found = [RouteHistory()]
    blocks: dict[TenantId, Block] = {}
    for revision, (steps, lifted) in enumerate(lives, start=1):
        known = found[-1].copy()
        known.apply([step(key, tenant, revision) for key, tenant in steps])
        blocks = blocks | {
            tenant: Block(is_lifted, revision) for tenant, is_lifted in lifted.items()
        }
        known.finish(revision, 0, blocks)
        found.append(known)
    return found


@given(st.lists(st.tuples(STEPS, BLOCKS), max_size=6), st.integers(0, 6))
def test_whatever_an_edge_had_a_delta_leads_it_to_what_there_is(
    lives: list[Life], since: int
) -> None:
    histories = reported(*lives)
    newest, edge = histories[-1], histories[min(since, len(lives))].delta(None)
    delta = newest.delta(edge.revision)
    routes = {route.key: route for route in (*edge.routes, *delta.routes)}
    blocked = {*edge.blocked, *delta.blocked} - {*delta.unblocked}

    assert not delta.snapshot
    assert {key: it for key, it in routes.items() if key not in delta.removed} == newest.routes
    assert blocked == {*newest.delta(None).blocked}
    assert newest.tenants == Counter(route.tenant_id for route in newest.routes.values())
    assert (delta.revision, delta.blocked) == (len(lives), tuple(dict.fromkeys(delta.blocked)))


def test_a_change_is_told_alone() -> None:
    begun: Life = ([(KEYS[0], TENANTS[0]), (KEYS[1], TENANTS[0])], {TENANTS[1]: False})
    newest = reported(begun, ([(KEYS[1], None)], {TENANTS[2]: False}))[-1]

    assert newest.delta(1) == RouteDelta(
        2, snapshot=False, removed=(KEYS[1],), blocked=(TENANTS[2],)
    )


def test_what_went_and_came_back_is_told_as_the_last_of_it() -> None:
    lives: list[Life] = [
        ([(KEYS[0], TENANTS[0])], {}),
        ([(KEYS[1], TENANTS[0])], {}),
        ([(KEYS[0], TENANTS[1])], {}),
    ]
    delta = reported(*lives)[-1].delta(0)

    assert [(route.key, route.tenant_id) for route in delta.routes] == [
        (KEYS[1], TENANTS[0]),
        (KEYS[0], TENANTS[1]),
    ]


def test_an_edge_that_knows_too_little_or_too_much_is_told_everything() -> None:
    newest = reported(([(KEYS[0], TENANTS[0])], {}), ([(KEYS[1], TENANTS[0])], {}))[-1]
    newest.finish(2, 1, {TENANTS[0]: Block(lifted=False, revision=2)})

    assert [newest.delta(since).snapshot for since in (None, 0, 1, 2, 3)] == [
        *(True, True, False, False, True)
    ]
    assert newest.delta(0).blocked == (TENANTS[0],)


def test_of_what_is_pruned_no_trace_is_kept() -> None:
    newest = reported(([(KEYS[0], TENANTS[0])], {}), ([(KEYS[0], None)], {}))[-1]
    newest.finish(2, 2, {})

    assert newest == RouteHistory(2, 2)


def test_a_copy_goes_on_alone() -> None:
    one = reported(([(KEYS[0], TENANTS[0])], {}))[-1]
    other = one.copy()
    other.apply([step(KEYS[0], None, 2)])
    other.finish(2, 0, {})

    assert (one.revision, list(one.routes)) == (1, [KEYS[0]])
    assert one.delta(0).removed == ()


def test_limits_of_tenants_are_told_when_they_change_and_whole_to_who_knows_none() -> None:
    few = TenantLimits(connections=1)
    newest = reported(([(KEYS[0], TENANTS[0])], {}))[-1]
    limits = {
        TENANTS[0]: LimitsChange(few, 1),
        TENANTS[1]: LimitsChange(few, 2),
        TENANTS[2]: LimitsChange(NO_LIMITS, 2),
    }
    newest.apply_limits({TENANTS[0]: LimitsChange(few, 1), TENANTS[2]: LimitsChange(few, 1)})
    before = newest.copy()
    newest.apply_limits(limits)
    newest.finish(2, 0, {})

    assert newest.delta(None).limits == {TENANTS[0]: few, TENANTS[1]: few}
    assert newest.delta(1).limits == {TENANTS[1]: few, TENANTS[2]: NO_LIMITS}
    assert newest.delta(2).limits == {}
    assert newest.copy().limits == limits
    assert before.limits.keys() == {TENANTS[0], TENANTS[2]}


def test_a_revision_with_another_tag_is_of_another_history() -> None:
    newest = reported(([(KEYS[0], TENANTS[0])], {}), ([(KEYS[1], TENANTS[0])], {}))[-1]
    newest.tags |= {1: b"one", 2: b"two"}

    assert [newest.covers(1, tag) for tag in (None, b"one", b"two")] == [True, True, False]
    assert [newest.is_at(2, tag) for tag in (None, b"two", b"one")] == [True, True, False]
    assert not newest.is_at(1, b"one")
    assert [newest.delta(since).tag for since in (None, 1)] == [b"two", b"two"]


def test_a_revision_whose_tag_is_no_longer_known_is_not_covered() -> None:
    newest = RouteHistory(tags={number: b"%d" % number for number in range(TAGS + 2)})
    newest.finish(TAGS + 1, 0, {})

    assert [newest.covers(since, b"%d" % since) for since in (0, 1, 2)] == [False, False, True]
    assert newest.covers(1)


def test_the_range_of_a_port_is_known_as_long_as_it_is_published() -> None:
    known = RouteHistory()
    wide, narrow = (
        Route(ServiceKind.TCP, "game", TENANTS[0], 10, last_port=last) for last in (12, 11)
    )
    known.apply([(wide.key, wide, 1), ("tcp:1", Route(ServiceKind.TCP, "x", TENANTS[0], 1), 2)])
    before = known.copy()
    known.apply([(narrow.key, narrow, 3), (wide.key, None, 4)])  # as one write puts and removes

    assert known.ranges == {"tcp:10": "tcp:10-11", "tcp:11": "tcp:10-11"}
    known.apply([(narrow.key, narrow, 5), (narrow.key, None, 6), ("tcp:1", None, 7)])
    assert known.ranges == {}
    assert before.ranges == {f"tcp:{port}": "tcp:10-12" for port in (10, 11, 12)}
