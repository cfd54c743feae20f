"""Writer of an index: changes to a copy, a new one where that does not do, and pauses in between."""

from hypothesis import given
from hypothesis import strategies as st

from towonel.edge.core.route_index import SEED_BYTES, RouteIndex
from towonel.edge.core.route_index_writer import (
    make_empty_index,
    plan_index,
    write_index,
)
from towonel.edge.core.route_layers import Layer
from towonel.wire.ids import TenantId
from towonel.wire.names import ServiceKind
from towonel.wire.policy.client_networks import ClientNetworks
from towonel.wire.routes import Route

ALICE, BOB = TenantId(b"a" * 32), TenantId(b"b" * 32)


def route(number: int, tenant: TenantId = ALICE) -> Route:
    clients = ClientNetworks((f"192.0.2.{number % 256}/32",)) if number % 3 else None
    return Route(ServiceKind.HTTPS, f"{number}.example.eu", tenant, clients=clients)


def routes(*numbers: int, tenant: TenantId = ALICE) -> dict[str, Route | None]:
    return {each.key: each for each in (route(number, tenant) for number in numbers)}


def written(before: RouteIndex, changes: Layer) -> RouteIndex:
    plan = plan_index(before, changes.items)
    memory = memoryview(bytearray(plan.size))
    return RouteIndex(memory[: write_index(memory, plan, before, changes.items, lambda: None)])


def new(*numbers: int) -> RouteIndex:
    return written(make_empty_index(bytes(SEED_BYTES)), routes(*numbers))


def test_a_few_changes_are_made_to_a_copy() -> None:
    before = new(*range(100))
    changes = {**routes(1, 200, tenant=BOB), route(2).key: None, route(300).key: None}

    assert plan_index(before, changes.items).is_copy
    after = written(before, changes)
    assert len(after) == 100
    assert after.find(route(1).key) == route(1, BOB)
    assert after.find(route(2).key) is None
    assert after.find(route(200).key) == route(200, BOB)
    assert before.find(route(1).key) == route(1)


def test_the_slot_of_a_removed_route_is_used_again() -> None:
    index = new(*range(20))
    taken = index.head.taken
    for number in range(30):
        index = written(index, {route(number).key: None, **routes(number + 20)})

    assert index.head.taken < taken + 20
    assert len(index) == 20


def test_many_changes_make_a_new_index_with_more_slots() -> None:
    before = new(*range(20))
    changes = routes(*range(1000))

    assert not plan_index(before, changes.items).is_copy
    assert written(before, changes).head.slots >= 2000
    assert len(written(before, changes)) == 1000


def test_an_index_full_of_old_records_is_written_anew() -> None:
    index = new(*range(100))
    lengths = [index.head.length]
    for number in range(100):
        index = written(index, routes(*range(10), tenant=(ALICE, BOB)[number % 2]))
        lengths.append(index.head.length)

    assert max(lengths) < 1.5 * lengths[0]
    assert index.find(route(3).key) == route(3, BOB)
    assert index.find(route(99).key) == route(99)


def test_other_threads_get_a_turn_between_parts_of_the_work() -> None:
    pauses: list[None] = []
    before, changes = make_empty_index(bytes(SEED_BYTES)), routes(*range(5000))
    plan = plan_index(before, changes.items)
    write_index(
        memoryview(bytearray(plan.size)), plan, before, changes.items, lambda: pauses.append(None)
    )

    assert len(pauses) == 10


numbers = st.integers(0, 40)
changed = st.dictionaries(numbers, st.sampled_from([ALICE, BOB, None]), max_size=30)


@given(st.lists(changed, max_size=12))
def test_an_index_after_any_changes_has_what_a_dictionary_has(
    history: list[dict[int, TenantId | None]],
) -> None:
    index, model = make_empty_index(bytes(SEED_BYTES)), dict[str, Route]()
    for some in history:
        changes = {
            route(number).key: None if tenant is None else route(number, tenant)
            for number, tenant in some.items()
        }
        index = written(index, changes)
        model = {key: value for key, value in {**model, **changes}.items() if value is not None}

    assert {each.key: each for each in index.routes()} == model
    assert [index.find(route(each).key) for each in range(41)] == [
        model.get(route(each).key) for each in range(41)
    ]
    assert len(index) == len(model)
