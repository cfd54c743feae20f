"""Frame budget: frames beside those of open streams."""

from towonel.tunnel.core.bounds.frame_budget import BURST, PER_PACKET, PER_STREAM, FrameBudget


def test_so_many_frames_are_within_the_budget_at_once_and_one_more_is_not() -> None:
    budget = FrameBudget()

    assert budget.spend(BURST)
    assert budget.spend(PER_PACKET)
    assert not budget.spend(PER_PACKET + 1)


def test_packets_bring_some_back_and_no_more_than_there_were() -> None:
    budget = FrameBudget()
    for _ in range(BURST):
        assert budget.spend(1)

    assert budget.spend(BURST)
    assert not budget.spend(2 * PER_PACKET)


def test_streams_bring_theirs_whatever_there_is() -> None:
    budget = FrameBudget()
    budget.record_stream()

    assert budget.spend(BURST + PER_STREAM)
    assert not budget.spend(PER_PACKET + 1)
