"""Budget of bodies: anyone may send while it lasts, then the fullest source loses first."""

from contextlib import ExitStack

from hypothesis import given
from hypothesis import strategies as st

from towonel.hub.core.body_budget import BodyBudget, HeldBody


def new_body(source: str, evicted: list[str] | None = None, name: str = "") -> HeldBody:
    return HeldBody(source, lambda: (evicted if evicted is not None else []).append(name or source))


def test_within_the_budget_nobody_loses_a_body() -> None:
    budget, evicted = BodyBudget(100, 100), list[str]()
    with budget.hold(one := new_body("a", evicted)), budget.hold(other := new_body("b", evicted)):
        budget.add(one, 60)
        budget.add(other, 40)
        held = budget.held_bytes

    assert (evicted, held, budget.held_bytes) == ([], 100, 0)


def test_above_it_the_source_that_holds_most_loses_its_largest_body() -> None:
    budget, evicted = BodyBudget(100, 100), list[str]()
    bodies = {
        "small": new_body("greedy", evicted, "small"),
        "large": new_body("greedy", evicted, "large"),
        "honest": new_body("honest", evicted, "honest"),
    }
    with ExitStack() as stack:
        for body in bodies.values():
            stack.enter_context(budget.hold(body))
        for name, size in (("small", 30), ("large", 31), ("honest", 40)):
            budget.add(bodies[name], size)

        assert evicted == ["large"]
        assert bodies["large"].is_evicted
        assert budget.held_bytes == 70
    assert budget.held_bytes == 0


def test_a_source_that_fills_it_alone_evicts_only_itself() -> None:
    budget, evicted = BodyBudget(100, 100), list[str]()
    with budget.hold(honest := new_body("honest", evicted)):
        budget.add(honest, 10)
        for _ in range(5):
            with budget.hold(greedy := new_body("greedy", evicted)):
                budget.add(greedy, 91)

    assert evicted == ["greedy"] * 5


def test_a_request_that_is_being_carried_out_is_left_alone() -> None:
    budget, evicted = BodyBudget(100, 100), list[str]()
    with (
        budget.hold(running := new_body("a", evicted)),
        budget.hold(late := new_body("b", evicted)),
    ):
        budget.add(running, 90)
        budget.settle(running)
        budget.add(late, 20)

        assert evicted == ["b"]
        assert budget.held_bytes == 90


def test_a_body_without_a_place_ends_the_oldest_of_the_source_that_has_most() -> None:
    budget, evicted = BodyBudget(100, 3), list[str]()
    with ExitStack() as stack:
        for source, name in (("a", "a1"), ("b", "b1"), ("b", "b2"), ("c", "c1"), ("d", "d1")):
            stack.enter_context(budget.hold(body := new_body(source, evicted, name)))
            budget.wait(body)
            budget.wait(body)  # each time that it waits for more

        assert evicted == ["b1", "a1"]  # then each has one, and the oldest goes
        assert budget.awaited == 3
    assert budget.awaited == 0


def test_a_body_that_is_settled_needs_no_place() -> None:
    budget, evicted = BodyBudget(100, 1), list[str]()
    with (
        budget.hold(complete := new_body("a", evicted)),
        budget.hold(other := new_body("b", evicted)),
    ):
        budget.wait(complete)
        budget.settle(complete)
        budget.wait(other)
        budget.wait(complete)

        assert (evicted, budget.awaited) == ([], 1)


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 60)), max_size=40))
def test_it_is_never_exceeded_and_ends_empty(steps: list[tuple[int, int]]) -> None:
    budget = BodyBudget(100, 100)
    with ExitStack() as stack:
        bodies = [new_body(f"source-{number % 3}") for number in range(5)]
        for body in bodies:
            stack.enter_context(budget.hold(body))
        for number, size in steps:
            if not bodies[number].is_evicted:
                budget.add(bodies[number], size)
            assert budget.held_bytes == sum(body.size for body in bodies) <= 100

    assert budget.held_bytes == 0
