"""Wheel of deadlines: nothing expires early, nothing later than a tick, nothing is kept."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.callback_handler import CallbackHandler

from towonel.relay.core.deadlines import FINE_TICK_S, TICK_S, DeadlineWheel, Timed


class Item:
    """Item that notes when it expired, and the handler with its deadline."""

    def __init__(self, clock: list[float]) -> None:
        self.expired_at: list[float] = []
        self.timed = CallbackHandler(expire=lambda: self.expired_at.append(clock[0]))


class Run:
    """A wheel, its clock, and a step of time."""

    def __init__(self, start: float = 100.0) -> None:
        self.clock = [start]
        self.wheel = DeadlineWheel(start)

    def item(self, after_s: float | None = None) -> Item:
        item = Item(self.clock)
        if after_s is not None:
            self.wheel.arm(item.timed, after_s)
        return item

    def pass_time(self, seconds: float) -> None:
        self.clock[0] += seconds
        self.wheel.advance(self.clock[0])


@pytest.fixture
def run() -> Run:
    return Run()


@given(st.floats(0, 300), st.lists(st.floats(0.01, 40), min_size=1, max_size=30))
def test_an_item_expires_once_after_its_time_and_within_a_tick_of_being_looked_at(
    after_s: float, steps: list[float]
) -> None:
    run = Run()
    item, before = run.item(after_s), 100.0
    for step in [*steps, 400.0]:
        before = run.clock[0]
        run.pass_time(step)
        if item.expired_at:
            break

    late = item.expired_at[0] - 100.0 - after_s
    assert late > -1e-6
    assert before - 100.0 - after_s < 2 * TICK_S
    assert run.wheel.count == 0
    run.pass_time(400.0)
    assert len(item.expired_at) == 1


def test_a_later_deadline_replaces_an_earlier_one(run: Run) -> None:
    item = run.item(1)
    for _ in range(8):
        run.pass_time(0.5)
        run.wheel.arm(item.timed, 1)

    assert item.expired_at == []
    run.pass_time(2)
    assert item.expired_at == [106.0]


def test_an_earlier_deadline_replaces_a_later_one(run: Run) -> None:
    item = run.item(200)
    run.wheel.arm(item.timed, 1)
    run.pass_time(2)

    assert item.expired_at == [102.0]
    run.pass_time(300)
    assert len(item.expired_at) == 1


def test_a_disarmed_item_is_forgotten_at_once(run: Run) -> None:
    item, other = run.item(1), run.item()
    run.wheel.disarm(item.timed)
    run.wheel.disarm(other.timed)

    assert run.wheel.count == 0
    run.pass_time(2)
    assert item.expired_at == []


def test_an_item_may_disarm_another_of_the_same_tick(run: Run) -> None:
    items: list[CallbackHandler] = []
    expired: list[float] = []

    def expire() -> None:
        expired.append(run.clock[0])
        for item in items:
            run.wheel.disarm(item)

    items += [CallbackHandler(expire=expire), CallbackHandler(expire=expire)]
    for item in items:
        run.wheel.arm(item, 1)
    run.pass_time(2)

    assert expired == [102.0]
    assert run.wheel.count == 0


def test_a_wheel_with_nothing_to_expire_asks_for_no_turn_and_goes_on_afterwards(run: Run) -> None:
    assert run.wheel.count == 0
    run.pass_time(1000)
    item = run.item(1)

    assert run.wheel.count == 1
    assert 0 < run.wheel.next_at - run.clock[0] <= TICK_S
    run.pass_time(0.9)
    assert item.expired_at == []
    run.pass_time(0.6)
    assert item.expired_at == [1101.5]


def test_an_item_that_does_not_say_what_it_does_cannot_expire(run: Run) -> None:
    run.wheel.arm(Timed(), 0)

    with pytest.raises(NotImplementedError):
        run.pass_time(1)


def test_an_item_armed_long_after_the_last_turn_waits_its_whole_time(run: Run) -> None:
    """The loop tells the time before its handlers arm, and turns the wheel after them."""
    item = run.item()
    run.wheel.now = run.clock[0] = 100_000.1
    run.wheel.arm(item.timed, 1)
    run.pass_time(0)
    run.pass_time(0.99)

    assert item.expired_at == []
    run.pass_time(0.5)
    assert item.expired_at == [pytest.approx(100_001.59)]


def test_a_relaxed_item_does_not_expire_and_is_armed_again_where_it_is(run: Run) -> None:
    item = run.item(1)
    run.wheel.relax(item.timed)
    run.wheel.arm(item.timed, 2)
    run.wheel.relax(item.timed)
    run.pass_time(3)

    assert item.expired_at == []
    assert run.wheel.count == 0


@given(st.floats(0, 1), st.floats(0, 1))
def test_a_fine_wheel_is_late_by_a_few_milliseconds_and_never_early(
    start_s: float, after_s: float
) -> None:
    clock = [100.0 + start_s]
    wheel = DeadlineWheel(100.0, FINE_TICK_S)
    wheel.now = clock[0]
    item = Item(clock)
    wheel.arm(item.timed, after_s)
    while not item.expired_at:
        clock[0] += 0.001
        wheel.advance(clock[0])

    late_s = item.expired_at[0] - 100.0 - start_s - after_s
    assert -1e-9 < late_s < 2 * FINE_TICK_S + 0.001
