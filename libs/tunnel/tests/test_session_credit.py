"""Credit of a session, and the receive sides that share it."""

from collections.abc import Callable

import pytest

from towonel.tunnel.core.bounds.receive_budget import ReceiveShare
from towonel.tunnel.receive_side import ReceiveSide
from towonel.tunnel.session_credit import SessionCredit
from towonel.wire.credit import SESSION_WINDOW_BYTES, STREAM_WINDOW_BYTES
from towonel.wire.errors import Code, ProtocolError
from towonel.wire.messages import Abandoned, Message, Window


class Credit:
    """Credit of a session, and the messages that it sent."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.credit = SessionCredit(self.messages.append, lambda: 0.0, lambda: 0.1, ReceiveShare())

    def returned_bytes(self) -> int:
        return self.credit._receive._consumed


@pytest.mark.parametrize("order", ["reset first", "count first"])
def test_bytes_that_a_reset_swallowed_are_returned_bytes_in_either_order(order: str) -> None:
    shared = Credit()
    side = ReceiveSide(5, shared.credit)
    side.receive(b"x" * 100, is_end=False)
    steps: list[Callable[[], None]] = [
        lambda: side.receive_reset(Code.CANCELLED),
        lambda: side.receive_abandoned(1000),
    ]
    for step in steps if order == "reset first" else reversed(steps):
        assert not side.is_settled
        step()

    assert side.is_settled
    assert shared.returned_bytes() == 1000
    assert shared.credit._receive.unread == 0


def test_bytes_for_a_reader_that_left_are_returned_bytes_as_they_come() -> None:
    shared = Credit()
    side = ReceiveSide(5, shared.credit)
    side.receive(b"x" * 100, is_end=False)
    side.fail(Code.CANCELLED)
    side.receive(b"x" * 50, is_end=True)

    assert shared.returned_bytes() == 150
    assert side.is_settled


def test_an_abandoned_count_beyond_the_credit_or_changed_is_refused() -> None:
    side = ReceiveSide(5, Credit().credit)

    with pytest.raises(ProtocolError) as beyond:
        side.receive_abandoned(STREAM_WINDOW_BYTES + 1)
    side.receive_abandoned(10)
    side.receive_abandoned(10)
    with pytest.raises(ProtocolError) as changed:
        side.receive_abandoned(11)
    assert beyond.value.code is Code.FLOW_CONTROL
    assert changed.value.code is Code.UNEXPECTED_MESSAGE


def test_streams_share_the_credit_of_the_session() -> None:
    shared, woken = Credit(), []
    shared.credit.spend(SESSION_WINDOW_BYTES)
    shared.credit.wake_on_grant(5, lambda: woken.append(5))
    shared.credit.wake_on_grant(9, lambda: woken.append(9))
    shared.credit.cancel_wake(9)

    assert shared.credit.available == 0
    shared.credit.grant(SESSION_WINDOW_BYTES + 10)
    assert (shared.credit.available, woken) == (10, [5])


def test_a_session_announces_credit_after_half_of_its_window() -> None:
    shared = Credit()
    for number in range(SESSION_WINDOW_BYTES // STREAM_WINDOW_BYTES // 2):
        stream = ReceiveSide(5 + 4 * number, shared.credit)
        stream.receive(bytes(STREAM_WINDOW_BYTES), is_end=True)
        stream.fail(Code.CANCELLED)
    shared.credit.report_abandoned(5, 7)

    windows = [m for m in shared.messages if isinstance(m, Window) and m.stream_id is None]
    assert [m.limit for m in windows] == [SESSION_WINDOW_BYTES * 3 // 2]
    assert shared.messages[-1] == Abandoned(5, 7)
