"""The small pieces under a session: buffers, arrivals, shared credit, and how things end."""

from collections.abc import Callable

import pytest
from aioquic.quic.events import ConnectionTerminated
from aioquic.quic.packet import QuicErrorCode
from aioquic.tls import AlertDescription
from hypothesis import given
from hypothesis import strategies as st
from support.tunnel import PEM

from towonel.tunnel.buffer import ByteQueue
from towonel.tunnel.close_reason import (
    NO_COMMON_VERSION,
    CloseReason,
    code_of,
    from_event,
    to_error,
)
from towonel.tunnel.quic import STREAMS_ALLOWED, agent_connection
from towonel.tunnel.receive_side import ReceiveSide
from towonel.tunnel.session_credit import SessionCredit
from towonel.tunnel.stream_ids import MAX_GAP, SeenStreams
from towonel.wire.credit import SESSION_WINDOW_BYTES, STREAM_WINDOW_BYTES
from towonel.wire.errors import Code, Denied, ProtocolError, Unavailable
from towonel.wire.messages import Abandoned, Message, Window


@given(st.lists(st.one_of(st.binary(max_size=20), st.integers(1, 30)), max_size=40))
def test_a_queue_gives_back_what_was_put_in_in_any_pieces(steps: list[bytes | int]) -> None:
    queue, put, taken = ByteQueue(), b"", b""
    for step in steps:
        if isinstance(step, bytes):
            queue.push(step)
            put += step
        else:
            piece = queue.take(step)
            taken += piece
            assert len(piece) == min(step, len(put) - len(taken) + len(piece))
    left = queue.size

    assert put == taken + put[len(taken) :]
    assert put.startswith(taken)
    assert left == len(put) - len(taken) == queue.clear()
    assert queue.take(1) == b""


@given(st.permutations(range(12)))
def test_each_number_arrives_for_the_first_time_once_in_any_order(order: list[int]) -> None:
    arrivals = SeenStreams()

    assert all(arrivals.add(number) for number in order)
    assert not any(arrivals.add(number) for number in order)
    assert arrivals.add(11 + MAX_GAP + 2) is None


class Told:
    """A budget, and what it said to the peer."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.budget = SessionCredit(self.messages.append, lambda: 0.0, lambda: 0.1)

    def given_back(self) -> int:
        return self.budget._receive._consumed


@pytest.mark.parametrize("order", ["reset first", "count first"])
def test_bytes_that_a_reset_swallowed_are_given_back_in_either_order(order: str) -> None:
    told = Told()
    inbound = ReceiveSide(5, told.budget)
    inbound.push(b"x" * 100, is_end=False)
    steps: list[Callable[[], None]] = [
        lambda: inbound.reset(Code.CANCELLED),
        lambda: inbound.abandon(1000),
    ]
    for step in steps if order == "reset first" else reversed(steps):
        assert not inbound.is_settled
        step()

    assert inbound.is_settled
    assert told.given_back() == 1000
    assert told.budget._receive.unread == 0


def test_bytes_for_a_reader_that_left_are_given_back_as_they_come() -> None:
    told = Told()
    inbound = ReceiveSide(5, told.budget)
    inbound.push(b"x" * 100, is_end=False)
    inbound.fail(Code.CANCELLED)
    inbound.push(b"x" * 50, is_end=True)

    assert told.given_back() == 150
    assert inbound.is_settled


def test_an_abandoned_count_beyond_the_credit_or_changed_is_refused() -> None:
    inbound = ReceiveSide(5, Told().budget)

    with pytest.raises(ProtocolError) as beyond:
        inbound.abandon(STREAM_WINDOW_BYTES + 1)
    inbound.abandon(10)
    inbound.abandon(10)
    with pytest.raises(ProtocolError) as changed:
        inbound.abandon(11)
    assert beyond.value.code is Code.FLOW_CONTROL
    assert changed.value.code is Code.UNEXPECTED_MESSAGE


def test_streams_share_the_credit_of_the_session() -> None:
    told, woken = Told(), []
    told.budget.spend(SESSION_WINDOW_BYTES)
    told.budget.wait(5, lambda: woken.append(5))
    told.budget.wait(9, lambda: woken.append(9))
    told.budget.forget(9)

    assert told.budget.available == 0
    told.budget.grant(SESSION_WINDOW_BYTES + 10)
    assert (told.budget.available, woken) == (10, [5])


def test_a_session_announces_credit_after_half_of_its_window() -> None:
    told = Told()
    for number in range(SESSION_WINDOW_BYTES // STREAM_WINDOW_BYTES // 2):
        stream = ReceiveSide(5 + 4 * number, told.budget)
        stream.push(bytes(STREAM_WINDOW_BYTES), is_end=True)
        stream.fail(Code.CANCELLED)
    told.budget.abandoned(5, 7)

    windows = [m for m in told.messages if isinstance(m, Window) and m.stream_id is None]
    assert [m.limit for m in windows] == [SESSION_WINDOW_BYTES * 3 // 2]
    assert told.messages[-1] == Abandoned(5, 7)


@pytest.mark.parametrize(
    ("number", "frame_type", "reason", "code"),
    [
        (int(Code.TENANT_REVOKED), None, "", Code.TENANT_REVOKED),
        (9999, None, "", Code.INTERNAL),
        (
            QuicErrorCode.CRYPTO_ERROR + AlertDescription.unknown_ca,
            6,
            "",
            Code.CERTIFICATE_MISMATCH,
        ),
        (
            QuicErrorCode.CRYPTO_ERROR + AlertDescription.no_application_protocol,
            6,
            "",
            Code.UNSUPPORTED_VERSION,
        ),
        (QuicErrorCode.CRYPTO_ERROR + AlertDescription.internal_error, 6, "", Code.SESSION_LOST),
        (QuicErrorCode.VERSION_NEGOTIATION_ERROR, 6, "", Code.UNSUPPORTED_VERSION),
        (QuicErrorCode.INTERNAL_ERROR, 0, NO_COMMON_VERSION, Code.UNSUPPORTED_VERSION),
        (QuicErrorCode.INTERNAL_ERROR, 0, "Idle timeout", Code.SESSION_LOST),
    ],
)
def test_every_end_of_a_connection_becomes_one_code(
    number: int, frame_type: int | None, reason: str, code: Code
) -> None:
    event = ConnectionTerminated(error_code=number, frame_type=frame_type, reason_phrase=reason)

    assert from_event(event).code is code


def test_an_ending_is_raised_as_the_class_of_its_code() -> None:
    assert isinstance(to_error(CloseReason(Code.FLOW_CONTROL)), ProtocolError)
    assert isinstance(to_error(CloseReason(Code.GRANT_EXPIRED)), Denied)
    assert isinstance(to_error(CloseReason(Code.SESSION_LOST)), Unavailable)
    assert code_of(10**6) is Code.INTERNAL


def test_the_one_private_attribute_of_aioquic_is_still_there() -> None:
    connection = agent_connection(PEM)

    assert connection._local_max_streams_bidi.value == STREAMS_ALLOWED
