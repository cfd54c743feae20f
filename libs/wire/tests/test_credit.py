"""Flow control: a sender never overruns its credit, and an active reader never starves."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from towonel.wire.credit import ReceiveCredit, SendCredit
from towonel.wire.errors import Code, ProtocolError

RTT = 0.1


def test_bytes_up_to_the_limit_may_come_and_not_one_more() -> None:
    credit = ReceiveCredit(100, 400)
    credit.receive(100)

    assert credit.unread == 100
    with pytest.raises(ProtocolError) as caught:
        credit.receive(1)
    assert caught.value.code is Code.FLOW_CONTROL


def test_a_new_limit_is_announced_when_half_of_the_window_is_read() -> None:
    credit = ReceiveCredit(100, 100)
    credit.receive(100)

    assert credit.consume(49, now=0, rtt_s=RTT) is None
    assert credit.consume(1, now=0, rtt_s=RTT) == 150
    assert credit.unread == 50


def test_the_window_doubles_up_to_its_maximum_when_it_is_used_up_within_two_round_trips() -> None:
    credit = ReceiveCredit(100, 300)
    windows = []
    for now in (0.0, 0.19, 0.38, 0.57):
        limit = None
        while limit is None:
            credit.receive(50)
            limit = credit.consume(50, now=now, rtt_s=RTT)
        windows.append(limit - total(credit))

    assert windows == [100, 200, 300, 300]


def total(credit: ReceiveCredit) -> int:
    return credit._consumed


def test_a_slow_reader_keeps_its_window() -> None:
    credit = ReceiveCredit(100, 400)
    credit.receive(100)
    credit.consume(50, now=0, rtt_s=RTT)

    assert credit.consume(50, now=10, rtt_s=RTT) == 200


def test_a_lower_limit_is_ignored() -> None:
    credit = SendCredit(100, 200)
    credit.spend(60)
    credit.grant(80)
    credit.grant(120)

    assert credit.available == 60
    assert credit.sent == 60


def test_overdrawing_and_reading_what_did_not_come_are_bugs() -> None:
    with pytest.raises(AssertionError):
        SendCredit(1, 1).spend(2)
    with pytest.raises(AssertionError):
        ReceiveCredit(1, 1).consume(1, now=0, rtt_s=RTT)


@given(st.integers(1, 1000), st.integers(1, 8), st.integers(0, 2**32))
def test_whatever_the_delays_nothing_overruns_and_all_arrives(
    window: int, factor: int, seed: int
) -> None:
    random = Random(seed)
    receiver, sender = ReceiveCredit(window, window * factor), SendCredit(window, window * factor)
    goal, on_the_way, now = window * 5, 0, 0.0
    announced = [window]
    while sender.sent < goal or on_the_way:
        now += random.random() / 2
        sender.grant(random.choice(announced) if random.random() < 0.5 else announced[-1])
        size = min(sender.available, goal - sender.sent, random.randint(1, window))
        sender.spend(size)
        arrived = random.randint(0, on_the_way + size)
        on_the_way += size - arrived
        receiver.receive(arrived)
        limit = receiver.consume(receiver.unread, now, RTT)
        announced += [limit] if limit else []

    assert total(receiver) == goal
    assert receiver.limit <= goal + window * factor


@pytest.mark.parametrize("limit", [161, 2**62 - 1])
def test_a_limit_beyond_what_was_sent_and_a_whole_window_is_refused(limit: int) -> None:
    credit = SendCredit(100, 100)
    credit.spend(60)

    with pytest.raises(ProtocolError) as caught:
        credit.grant(limit)
    assert caught.value.code is Code.FLOW_CONTROL
    assert credit.available == 40
    credit.grant(160)
    assert credit.available == 100
