"""Receive budget: what arrived for a tenant and was not taken, over its sessions."""

import pytest

from towonel.tunnel.core.bounds.receive_budget import (
    MIN_SESSION_BYTES,
    STEP_BYTES,
    ReceiveBudget,
    ReceiveShare,
)
from towonel.tunnel.core.bounds.receive_windows import ADMITTED_SIZES, CONTROL_BYTES, ReceiveWindows

MIB = 1024 * 1024
SIZE = ADMITTED_SIZES.connection_bytes


def sharing(budget: ReceiveBudget, count: int) -> list[ReceiveShare]:
    shares = [ReceiveShare() for _ in range(count)]
    for share in shares:
        share.join(budget)
    return shares


def windows_in(budget: ReceiveBudget) -> ReceiveWindows:
    windows = ReceiveWindows(ADMITTED_SIZES)
    windows.share.join(budget)
    return windows


def hold(share: ReceiveShare, count: int) -> None:
    """Let bytes arrive, and none beyond them be on their way."""
    share.take(count)
    share.give(0)


def deliver(windows: ReceiveWindows, count: int) -> None:
    """Let bytes arrive that a client reads at once."""
    windows.record(count, 0)
    windows.share.take(count)
    windows.share.release(count)


def test_a_session_has_room_for_its_share_of_what_is_left() -> None:
    budget = ReceiveBudget(64 * MIB)
    shares = sharing(budget, 4)
    shares[0].give(33 * MIB)

    assert [share.room for share in shares] == [8 * MIB] * 4
    assert ReceiveShare().room > 2**40


def test_a_session_whose_clients_read_always_has_room() -> None:
    budget = ReceiveBudget(4 * MIB)
    hoarding, reading, slow = sharing(budget, 3)
    hold(hoarding, 5 * MIB)
    hold(slow, STEP_BYTES)

    assert hoarding.room == 0
    assert reading.room == MIN_SESSION_BYTES
    assert slow.room == MIN_SESSION_BYTES - STEP_BYTES


def test_what_an_ended_session_left_counts_until_it_is_read() -> None:
    budget = ReceiveBudget(4 * MIB)
    ended, other = sharing(budget, 2)
    ended.take(2 * MIB)
    ended.give(MIB)
    assert other.room == MIN_SESSION_BYTES
    ended.leave()

    assert (budget.held, other.room) == (2 * MIB, 3 * MIB)
    ended.release(2 * MIB)
    assert (budget.held, other.room) == (0, 4 * MIB)


@pytest.mark.parametrize("by", ["itself", "another"])
def test_a_stalled_session_is_woken_once_when_it_has_room(by: str) -> None:
    budget, woken = ReceiveBudget(8 * MIB), []
    stalled, other = sharing(budget, 2)
    stalled.wake = lambda: woken.append(stalled.room)
    hold(stalled, 1 * MIB)
    hold(other, 9 * MIB)
    stalled.wait()

    reader = stalled if by == "itself" else other
    freed = 2 * STEP_BYTES if by == "itself" else 4 * STEP_BYTES  # halves are for both
    reader.release(freed - 1)
    assert not woken
    reader.release(1)
    reader.release(STEP_BYTES)
    assert woken == [2 * STEP_BYTES]


def test_a_stalled_session_is_woken_when_another_leaves_it_its_share_and_not_after_its_end() -> (
    None
):
    budget, woken = ReceiveBudget(2 * MIB), []
    first, *others = sharing(budget, 4)
    first.wake = lambda: woken.append(first)
    others[0].wake = lambda: woken.append(others[0])
    hold(first, 3 * MIB - 2 * STEP_BYTES)
    first.wait()
    others[0].wait()
    for share in others:
        share.leave()

    assert woken == [first]


def test_a_connection_may_send_a_mebibyte_at_first_and_more_as_it_sends() -> None:
    windows = windows_in(ReceiveBudget(64 * MIB))

    assert windows.connection_limit(256 * 1024) == MIB + CONTROL_BYTES
    deliver(windows, 3 * MIB)
    limit = windows.connection_limit(3 * MIB + CONTROL_BYTES)
    assert limit == 3 * MIB + 6 * MIB + CONTROL_BYTES
    deliver(windows, 6 * MIB)
    assert windows.connection_limit(limit) == 9 * MIB + SIZE + CONTROL_BYTES


def test_sessions_that_earned_wide_windows_one_after_another_have_the_budget_between_them() -> None:
    budget, sessions = ReceiveBudget(64 * MIB), 32
    given = 0
    for _ in range(sessions):
        windows = windows_in(budget)
        limit = 256 * 1024
        for _ in range(6):
            deliver(windows, limit - windows.delivered)
            limit = windows.connection_limit(limit)
        given += limit - windows.delivered - CONTROL_BYTES

    assert budget.limit // 2 < given <= budget.limit + sessions * MIN_SESSION_BYTES


def test_a_limit_is_raised_by_no_less_than_a_step_and_never_lowered() -> None:
    windows = windows_in(ReceiveBudget(0))
    limit = windows.connection_limit(256 * 1024)
    deliver(windows, MIB - 1)
    hold(windows.share, MIB - STEP_BYTES + 1)

    assert limit == MIB + CONTROL_BYTES
    assert windows.connection_limit(limit) == limit
    assert windows.connection_limit(2 * MIB) == 2 * MIB
    deliver(windows, 1)
    windows.share.release(1)
    assert windows.connection_limit(limit) == limit + STEP_BYTES


def test_a_connection_waits_once_its_agent_may_send_next_to_nothing() -> None:
    budget = ReceiveBudget(0)
    windows = windows_in(budget)
    limit = windows.connection_limit(256 * 1024)
    for missing, is_stalled in ((STEP_BYTES, False), (STEP_BYTES - 1, True)):
        arrived = MIB - missing - windows.delivered
        windows.record(arrived, 0)
        windows.share.take(arrived)
        assert windows.connection_limit(limit) == limit

        assert (windows.share in budget.stalled) is is_stalled


def test_control_messages_have_credit_while_a_session_has_none_for_its_clients() -> None:
    windows = windows_in(ReceiveBudget(0))
    limit = windows.connection_limit(256 * 1024)
    windows.record(MIB, 0)
    windows.share.take(MIB)
    for _ in range(40):
        windows.record(CONTROL_BYTES // 2, 0)
        windows.control_delivered += CONTROL_BYTES // 2
        limit = windows.connection_limit(limit)

        assert limit - windows.delivered == CONTROL_BYTES
    assert windows.connection_limit(limit) == limit


def test_an_agent_that_uses_the_credit_of_control_messages_for_clients_gets_no_other() -> None:
    windows = windows_in(ReceiveBudget(0))
    limit = windows.connection_limit(256 * 1024)
    windows.record(limit, 0)
    windows.share.take(limit)

    assert windows.connection_limit(limit) == limit == MIB + CONTROL_BYTES


def test_without_a_budget_a_connection_has_its_whole_window() -> None:
    windows = ReceiveWindows(ADMITTED_SIZES)
    deliver(windows, SIZE)

    assert windows.connection_limit(256 * 1024) == 2 * SIZE + CONTROL_BYTES
