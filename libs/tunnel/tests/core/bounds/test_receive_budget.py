"""Receive budget: what arrived for a tenant and was not taken, over its sessions."""

import pytest

from towonel.tunnel.core.bounds.receive_budget import (
    MIN_SESSION_BYTES,
    STEP_BYTES,
    ReceiveBudget,
    ReceiveShare,
)
from towonel.tunnel.core.bounds.receive_windows import ADMITTED_SIZES, ReceiveWindows

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


def test_a_session_has_room_for_its_share_of_what_is_left() -> None:
    budget = ReceiveBudget(64 * MIB)
    shares = sharing(budget, 4)
    shares[0].take(32 * MIB)

    assert [share.room for share in shares] == [8 * MIB] * 4
    assert ReceiveShare().room > 2**40


def test_a_session_whose_clients_read_always_has_room() -> None:
    budget = ReceiveBudget(4 * MIB)
    hoarding, reading, slow = sharing(budget, 3)
    hoarding.take(5 * MIB)
    slow.take(STEP_BYTES)

    assert hoarding.room < 0
    assert reading.room == MIN_SESSION_BYTES
    assert slow.room == MIN_SESSION_BYTES - STEP_BYTES


def test_what_an_ended_session_left_counts_until_it_is_read() -> None:
    budget = ReceiveBudget(4 * MIB)
    ended, other = sharing(budget, 2)
    ended.take(2 * MIB)
    ended.leave()

    assert (budget.held, other.room) == (2 * MIB, 2 * MIB)
    ended.release(2 * MIB)
    assert (budget.held, other.room) == (0, 4 * MIB)


@pytest.mark.parametrize("by", ["itself", "another"])
def test_a_stalled_session_is_woken_once_when_it_has_room(by: str) -> None:
    budget, woken = ReceiveBudget(8 * MIB), []
    stalled, other = sharing(budget, 2)
    stalled.wake = lambda: woken.append(stalled.room)
    stalled.take(1 * MIB)
    other.take(7 * MIB)
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
    first.take(MIB)
    first.wait()
    others[0].wait()
    for share in others:
        share.leave()

    assert woken == [first]


def test_a_connection_may_send_what_its_session_has_room_for() -> None:
    budget = ReceiveBudget(8 * MIB)
    windows = windows_in(budget)
    other = windows_in(budget)

    assert windows.connection_limit(256 * 1024) == 4 * MIB
    windows.record(2 * MIB, 0)
    windows.share.take(2 * MIB)
    assert windows.connection_limit(4 * MIB) == 5 * MIB
    assert other.connection_limit(256 * 1024) == 3 * MIB


def test_a_limit_is_raised_by_no_less_than_a_step_and_never_lowered() -> None:
    windows = windows_in(ReceiveBudget(MIB))
    windows.record(MIB - STEP_BYTES - 1, 0)
    windows.share.take(MIB - 2 * STEP_BYTES)

    assert windows.connection_limit(MIB) == MIB
    assert windows.connection_limit(2 * MIB) == 2 * MIB
    windows.record(1, 0)
    assert windows.connection_limit(MIB) == MIB + STEP_BYTES


def test_a_connection_waits_once_its_agent_may_send_next_to_nothing() -> None:
    budget = ReceiveBudget(MIB)
    windows = windows_in(budget)
    for missing, is_stalled in ((STEP_BYTES, False), (STEP_BYTES - 1, True)):
        read = MIB - missing - windows.delivered
        windows.record(read, 0)
        windows.share.take(read)
        assert windows.connection_limit(MIB) == MIB

        assert (windows.share in budget.stalled) is is_stalled


def test_without_a_budget_a_connection_has_its_whole_window() -> None:
    assert ReceiveWindows(ADMITTED_SIZES).connection_limit(256 * 1024) == SIZE
    assert windows_in(ReceiveBudget(SIZE)).connection_limit(256 * 1024) == SIZE
