"""Layers of routes: whatever comes when, they have what a dictionary has."""

from collections.abc import Callable

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from towonel.edge.core.route_index import SEED_BYTES, RouteIndex
from towonel.edge.core.route_index_writer import (
    make_empty_index,
    plan_index,
    write_index,
)
from towonel.edge.core.route_layers import Layer, RouteLayers
from towonel.wire.ids import TenantId
from towonel.wire.names import ServiceKind
from towonel.wire.routes import Route

ALICE, BOB = TenantId(b"a" * 32), TenantId(b"b" * 32)
NUMBERS = range(6)


def route(number: int, tenant: TenantId = ALICE) -> Route:
    return Route(ServiceKind.HTTPS, f"{number}.example.eu", tenant)


def write(before: RouteIndex | None, changes: Layer) -> RouteIndex:
    before = before or make_empty_index(bytes(SEED_BYTES))
    plan = plan_index(before, changes.items)
    memory = memoryview(bytearray(plan.size))
    return RouteIndex(memory[: write_index(memory, plan, before, changes.items, lambda: None)])


class Model:
    """Layers, and the dictionary that they are compared with."""

    def __init__(self) -> None:
        self.layers = RouteLayers()
        self.routes: dict[str, Route] = {}
        self._index: RouteIndex | None = None  # written, and not used yet

    def put(self, number: int, tenant: TenantId) -> None:
        new = route(number, tenant)
        self.layers.put(new.key, new)
        self.routes[new.key] = new

    def remove(self, number: int, _tenant: TenantId) -> None:
        self.layers.remove(route(number).key)
        self.routes.pop(route(number).key, None)

    def begin(self, _number: int, _tenant: TenantId) -> None:
        if self._index is None:
            self._index = write(self.layers.index, self.layers.freeze())

    def fail(self, _number: int, _tenant: TenantId) -> None:
        self._index = None

    def settle(self, _number: int, _tenant: TenantId) -> None:
        if self._index is not None:
            self.layers.settle(self._index)
            self._index = None

    def replace(self, number: int, tenant: TenantId) -> None:
        new = route(number, tenant)
        self.layers.replace(write(None, {new.key: new}))
        self.routes, self._index = {new.key: new}, None

    def check(self, layers: RouteLayers) -> None:
        keys = [route(number).key for number in NUMBERS]
        assert [layers.find(key) for key in keys] == [self.routes.get(key) for key in keys]
        assert {each.key: each for each in layers.routes()} == self.routes
        assert sum(1 for _ in layers.routes()) == len(layers) == len(self.routes)


type Step = Callable[[Model, int, TenantId], None]

steps: st.SearchStrategy[Step] = st.sampled_from(
    [Model.put, Model.put, Model.remove, Model.begin, Model.fail, Model.settle, Model.replace]
)


# Over those that an index has: one is replaced, one removed, and one put and removed again.
OVER_AN_INDEX: list[tuple[Step, int, TenantId]] = [
    *(
        (Model.put, 1, ALICE),
        (Model.put, 2, ALICE),
        (Model.begin, 0, ALICE),
        (Model.settle, 0, ALICE),
    ),
    *(
        (Model.put, 1, BOB),
        (Model.remove, 2, ALICE),
        (Model.put, 3, ALICE),
        (Model.remove, 3, ALICE),
    ),
]


@pytest.mark.branches
@example(OVER_AN_INDEX)
@given(st.lists(st.tuples(steps, st.sampled_from(NUMBERS), st.sampled_from([ALICE, BOB]))))
def test_layers_have_what_a_dictionary_has_after_any_steps(
    history: list[tuple[Step, int, TenantId]],
) -> None:
    model = Model()
    for step, number, tenant in history:
        step(model, number, tenant)
        model.check(model.layers)


def test_a_copy_does_not_change() -> None:
    model = Model()
    model.put(1, ALICE)
    model.begin(0, ALICE)
    model.put(2, ALICE)
    copy = model.layers.copy()
    model.layers.put(route(3).key, route(3))
    model.settle(0, ALICE)
    model.layers.remove(route(2).key)

    model.check(copy)


def test_a_route_that_came_and_went_leaves_nothing() -> None:
    layers = RouteLayers()
    layers.put(route(1).key, route(1))
    layers.remove(route(1).key)

    assert layers.recent == {}
