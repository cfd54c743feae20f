"""Send budget: what is held, at each level, and who is woken when there is room."""

from towonel.tunnel.core.bounds.send_budget import WAKE_BYTES, SendBudget


class Writers:
    """Writers that wait, and those that were woken."""

    def __init__(self) -> None:
        self.woken: list[int] = []

    def wait(self, budget: SendBudget, number: int) -> None:
        budget.wait(number, lambda: self.woken.append(number))


def test_what_is_held_counts_at_every_level_and_the_smallest_room_counts() -> None:
    tenant = SendBudget(150)
    one, other = SendBudget(100, tenant), SendBudget(100, tenant)
    one.take(90)
    other.take(40)

    assert (one.held, other.held, tenant.held) == (90, 40, 130)
    assert (one.available, other.available) == (10, 20)
    other.release(40)
    assert (one.available, other.available, tenant.available) == (10, 60, 60)


def test_more_may_be_held_than_allowed_but_nothing_is_available_then() -> None:
    budget = SendBudget(10)
    budget.take(20)

    assert budget.available == 0


def test_a_session_joins_its_tenant_with_what_it_holds_and_leaves_it_without() -> None:
    tenant, session = SendBudget(100), SendBudget(50)
    session.take(30)
    session.join(tenant)
    assert tenant.held == 30
    session.leave()
    session.leave()

    assert tenant.held == 0
    session.release(30)
    assert tenant.held == 0


def test_as_many_writers_are_woken_as_there_is_room_for_the_longest_waiting_first() -> None:
    budget, writers = SendBudget(4 * WAKE_BYTES), Writers()
    budget.take(4 * WAKE_BYTES)
    for number in (1, 2, 3):
        writers.wait(budget, number)
    budget.release(WAKE_BYTES - 1)
    assert writers.woken == []
    budget.release(1)
    assert writers.woken == [1]
    budget.release(WAKE_BYTES)

    assert writers.woken == [1, 2, 3]


def test_all_are_woken_once_nothing_is_held_for_no_release_would_follow() -> None:
    budget, writers = SendBudget(WAKE_BYTES), Writers()
    budget.take(5)
    for number in (1, 2, 3):
        writers.wait(budget, number)
    budget.release(5)

    assert writers.woken == [1, 2, 3]


def test_a_writer_waits_for_the_budget_that_is_full_until_it_waits_no_longer() -> None:
    tenant = SendBudget(100)
    one, other, writers = SendBudget(100, tenant), SendBudget(100, tenant), Writers()
    other.take(100)
    writers.wait(one, 1)
    assert one.wait(2, lambda: writers.woken.append(2)) is tenant
    tenant.cancel(2)
    other.release(100)

    assert writers.woken == [1]


def test_sessions_go_on_in_the_little_room_that_one_without_acknowledgements_leaves() -> None:
    tenant = SendBudget(10 * WAKE_BYTES)
    mute, other, writers = SendBudget(10 * WAKE_BYTES, tenant), SendBudget(100, tenant), Writers()
    mute.take(10 * WAKE_BYTES - 50)
    other.take(50)
    for number in (1, 2):
        writers.wait(other, number)
    other.release(20)
    assert writers.woken == []
    other.release(30)
    assert writers.woken == [1]


def test_room_of_a_tenant_wakes_no_writer_whose_session_is_full() -> None:
    tenant = SendBudget(4 * WAKE_BYTES)
    full, other, writers = SendBudget(10, tenant), SendBudget(100, tenant), Writers()
    full.take(10)
    other.take(100)
    writers.wait(full, 1)
    other.release(50)
    assert writers.woken == []
    full.release(10)

    assert writers.woken == [1]


def test_who_takes_no_room_wakes_the_next_writer_while_there_is_some() -> None:
    budget, writers = SendBudget(2 * WAKE_BYTES), Writers()
    budget.take(2 * WAKE_BYTES)
    for number in (1, 2):
        writers.wait(budget, number)
    budget.wake_next()
    assert writers.woken == []
    budget.release(WAKE_BYTES)
    assert writers.woken == [1]
    budget.wake_next()
    budget.wake_next()

    assert writers.woken == [1, 2]
