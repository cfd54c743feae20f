"""Impairments: the delay queue of the packet relay."""

from random import Random

import pytest
from support.chaos.impairment import NONE, UDP, DelayQueue, Impairment

TCP = 6


def packet(number: int, protocol: int = TCP) -> bytes:
    """Return a packet that says its number."""
    return bytes(9) + bytes([protocol]) + number.to_bytes(4)


def run(impairment: Impairment, count: int = 1000, seed: int = 1) -> tuple[DelayQueue, list[bytes]]:
    """Send a packet each millisecond, and return what has come out in the end."""
    queue = DelayQueue(Random(seed))
    queue.impairment = impairment
    for number in range(count):
        queue.put(packet(number), number / 1000)
    return queue, queue.take_due(float("inf"))


ALL = [packet(number) for number in range(1000)]


def test_a_network_without_impairment_hands_on_everything_at_once() -> None:
    queue = DelayQueue(Random(1))
    queue.put(packet(1), 5.0)

    assert queue.deadline == 5.0
    assert queue.take_due(5.0) == [packet(1)]
    assert queue.deadline is None


@pytest.mark.parametrize("share", [0.02, 0.1])
def test_a_share_of_packets_is_lost_and_the_others_come_in_order(share: float) -> None:
    queue, out = run(Impairment(loss=share))

    assert queue.counts["came"] == 1000
    assert queue.counts["lost"] == 1000 - len(out) == pytest.approx(1000 * share, rel=0.4)
    assert out == sorted(out)


def test_packets_are_held_for_their_delay() -> None:
    queue = DelayQueue(Random(1))
    queue.impairment = Impairment(delay_s=0.05)
    queue.put(packet(1), 5.0)

    assert queue.take_due(5.049) == []
    assert queue.take_due(5.051) == [packet(1)]


def test_jitter_alone_changes_no_order() -> None:
    queue, out = run(Impairment(delay_s=0.05, jitter_s=0.02))

    assert out == ALL
    assert queue.counts["reordered"] == 0


def test_packets_overtake_each_other_where_they_may() -> None:
    queue, out = run(Impairment(delay_s=0.05, jitter_s=0.02, reorders=True))

    assert sorted(out) == ALL
    assert out != ALL
    assert queue.counts["reordered"] > 100


def test_a_delay_with_jitter_is_within_its_bounds() -> None:
    queue = DelayQueue(Random(1))
    queue.impairment = Impairment(delay_s=0.05, jitter_s=0.02, reorders=True)
    for number in range(1000):
        queue.put(packet(number), 0.0)

    assert queue.take_due(0.0299) == []
    assert 400 < len(queue.take_due(0.05)) < 600
    queue.take_due(0.0701)
    assert queue.deadline is None


def test_a_share_of_packets_comes_twice() -> None:
    queue, out = run(Impairment(duplicates=0.1))

    assert sorted(set(out)) == ALL
    assert queue.counts["duplicated"] == len(out) - 1000 == pytest.approx(100, rel=0.4)


def test_a_cut_network_hands_on_nothing_that_comes_after_the_cut() -> None:
    queue = DelayQueue(Random(1))
    queue.impairment = Impairment(delay_s=1.0)
    queue.put(packet(1), 0.0)
    queue.impairment = Impairment(is_cut=True)
    queue.put(packet(2), 0.1)
    queue.impairment = NONE
    queue.put(packet(3), 0.2)

    assert queue.take_due(9.0) == [packet(1), packet(3)]
    assert queue.counts["blocked"] == 1


def test_one_protocol_can_be_blocked() -> None:
    queue = DelayQueue(Random(1))
    queue.impairment = Impairment(blocked=(UDP,))
    queue.put(packet(1, UDP), 0.0)
    queue.put(packet(2, TCP), 0.0)

    assert queue.take_due(0.0) == [packet(2, TCP)]


def test_a_full_queue_drops_the_newest() -> None:
    queue = DelayQueue(Random(1), capacity=2)
    for number in range(3):
        queue.put(packet(number), 0.0)

    assert queue.take_due(0.0) == [packet(0), packet(1)]
    assert queue.counts["overflowed"] == 1


def test_the_same_seed_does_the_same_again() -> None:
    impairment = Impairment(0.1, 0.1, 0.05, 0.02, reorders=True)

    assert run(impairment)[1] == run(impairment)[1]
    assert run(impairment)[1] != run(impairment, seed=2)[1]
