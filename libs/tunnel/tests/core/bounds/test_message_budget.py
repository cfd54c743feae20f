"""Message budget: as many messages as there are bytes and streams to speak of."""

import pytest

from towonel.tunnel.core.bounds.message_budget import (
    BURST,
    BYTES_A_MESSAGE,
    MESSAGES_A_STREAM,
    PER_S,
    MessageBudget,
)
from towonel.wire.credit import STREAM_WINDOW_BYTES
from towonel.wire.errors import Code, Denied


def spend(budget: MessageBudget, now: float, sent_bytes: int = 0) -> int:
    """Spend until it is refused; how many messages that were."""
    for count in range(1_000_000):
        try:
            budget.spend(now, sent_bytes)
        except Denied as error:
            assert error.code is Code.RATE_LIMITED
            return count
    raise AssertionError("without end")


def test_messages_about_nothing_are_refused_after_a_burst_and_few_a_second() -> None:
    budget = MessageBudget(now=100)

    assert spend(budget, 100) == BURST
    assert spend(budget, 101) == PER_S


def test_each_stream_and_each_sent_byte_allows_more() -> None:
    budget = MessageBudget(now=100)
    spend(budget, 100)
    budget.record_stream()
    assert spend(budget, 100) == MESSAGES_A_STREAM

    assert spend(budget, 100, sent_bytes=10 * BYTES_A_MESSAGE) == 10
    assert spend(budget, 100, sent_bytes=10 * BYTES_A_MESSAGE) == 0


@pytest.mark.parametrize("streams", [1, 1000])
def test_an_honest_receiver_never_comes_near_the_limit(streams: int) -> None:
    budget, sent_bytes = MessageBudget(now=100), 0
    for _ in range(20_000):
        sent_bytes += STREAM_WINDOW_BYTES // 2 * streams
        for _ in range(streams if streams == 1 else 2):
            budget.spend(100, sent_bytes)
