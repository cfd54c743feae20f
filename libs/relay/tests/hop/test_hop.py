"""Hop of a message: both forms do the same, whatever comes, and whatever the target takes."""

import gc
import signal
import socket
import struct
import sys
import time
from collections.abc import Iterator

import pytest
from support.hops import (
    COMPILED,
    FORMS,
    HEAD_OF_DATA,
    Call,
    Ends,
    Form,
    Result,
    compiled,
    frame_of,
    open_ends,
    take_apart,
)
from support.relay import tcp_pair

from towonel.relay.hop.results import FAILED, NOTHING
from towonel.wire.lanes import HEAD, HEAD_BYTES

ROOM = 64
LARGE = 32 * 1024
WAIT_S = 10  # of a call that waits, which none does


@pytest.fixture
def ends() -> Iterator[Ends]:
    with open_ends() as ends:
        yield ends


@pytest.fixture(params=FORMS)
def form(request: pytest.FixtureRequest) -> Form:
    return FORMS[request.param]


@pytest.fixture(params=["forward", "deliver"])
def hop(request: pytest.FixtureRequest, form: Form) -> Call:
    call: Call = getattr(form, request.param)
    return call


def test_what_comes_to_a_connection_goes_over_its_lane_as_one_frame(form: Form, ends: Ends) -> None:
    ends.sender.send(b"hello")

    assert form.forward(ends.source, ends.target, bytearray(ROOM), HEAD_OF_DATA) == 5
    assert ends.drain() == frame_of(b"hello")


def test_what_a_frame_on_the_lane_holds_goes_to_its_connection(form: Form, ends: Ends) -> None:
    ends.sender.send(frame_of(b"hello"))

    assert form.deliver(ends.source, ends.target, bytearray(ROOM), HEAD_OF_DATA) == 9
    assert ends.drain() == b"hello"


def test_nothing_and_an_end_and_a_failure_are_told_apart(hop: Call, ends: Ends) -> None:
    def call(source: socket.socket) -> int:
        return hop(source, ends.target, bytearray(ROOM), HEAD_OF_DATA)

    assert call(ends.source) == NOTHING
    ends.sender.shutdown(socket.SHUT_WR)
    assert call(ends.source) == 0
    peer, reset = tcp_pair()
    with peer, reset:
        reset.setblocking(False)
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        peer.close()
        assert call(reset) == FAILED
    assert ends.drain() == b""


@pytest.mark.parametrize("size", [1, ROOM - HEAD_BYTES - 1, ROOM - HEAD_BYTES])
def test_a_message_may_fill_the_buffer(form: Form, ends: Ends, size: int) -> None:
    message = bytes(range(size))
    frame = bytearray(ROOM)

    ends.sender.send(message + b"next")
    first = form.forward(ends.source, ends.target, frame, HEAD_OF_DATA)
    if first == size:  # all that there was room for
        assert form.forward(ends.source, ends.target, frame, HEAD_OF_DATA) == 4
        assert ends.drain() == frame_of(message) + frame_of(b"next")
    else:
        whole = (message + b"next")[: ROOM - HEAD_BYTES]
        assert first == len(whole)
        assert ends.drain() == frame_of(whole)


def test_a_frame_may_fill_the_buffer(form: Form, ends: Ends) -> None:
    payload = bytes(range(ROOM - HEAD_BYTES))
    ends.sender.send(frame_of(payload) + b"next")

    assert form.deliver(ends.source, ends.target, bytearray(ROOM), HEAD_OF_DATA) == ROOM
    assert ends.drain() == payload


@pytest.mark.parametrize(
    "data",
    [
        b"\x23",
        frame_of(b"hello")[:HEAD_BYTES],
        frame_of(b""),
        frame_of(b"hello")[:-1],
        frame_of(b"hello") + b"\x23",
        frame_of(b"one") + frame_of(b"two"),
        frame_of(b"hello", HEAD_OF_DATA ^ 1 << 24),
        frame_of(b"hello", HEAD_OF_DATA ^ 1 << 28),
        HEAD.pack(HEAD_OF_DATA | 5 | 1 << 23) + b"hello",
    ],
    ids=[
        *("part of a head", "head", "no payload", "part of a frame", "more than a frame"),
        *("two frames", "another use", "another type", "a length that is too large"),
    ],
)
def test_what_is_not_one_whole_frame_is_left_to_be_parsed(
    form: Form, ends: Ends, data: bytes
) -> None:
    inbox = bytearray(ROOM)
    ends.sender.send(data)

    result = form.deliver(ends.source, ends.target, inbox, HEAD_OF_DATA)

    assert take_apart(result) == Result(len(data), parse=True)
    assert inbox == data.ljust(ROOM, b"\0")
    assert ends.drain() == b""


def test_what_the_target_does_not_take_is_told(form: Form, ends: Ends) -> None:
    for call, data in ((form.forward, bytes(LARGE)), (form.deliver, frame_of(bytes(LARGE)))):
        before = ends.fill() and ends.drain()
        assert before
        ends.fill()
        ends.receiver.recv(len(before) // 2)  # room for a part
        ends.sender.send(data)
        frame = bytearray(len(data) + HEAD_BYTES)

        told = take_apart(call(ends.source, ends.target, frame, HEAD_OF_DATA))

        size = len(data) + (HEAD_BYTES if call is form.forward else -HEAD_BYTES)
        assert told.count == len(data)
        assert 0 < told.unsent <= size
        assert not told.broken
        ends.drain()


def test_a_target_that_takes_nothing_now_has_all_of_it_to_come(form: Form, ends: Ends) -> None:
    ends.fill()
    for call, data, size in (
        (form.forward, b"hello", 5 + HEAD_BYTES),
        (form.deliver, frame_of(b"hello"), 5),
    ):
        ends.sender.send(data)
        told = take_apart(call(ends.source, ends.target, bytearray(ROOM), HEAD_OF_DATA))
        assert told == Result(len(data), unsent=size)


def test_a_target_that_is_gone_is_told_and_no_signal_comes(form: Form, ends: Ends) -> None:
    came: list[int] = []
    before = signal.signal(signal.SIGPIPE, lambda number, frame: came.append(number))
    try:
        ends.receiver.close()
        for call, data in ((form.forward, b"hello"), (form.deliver, frame_of(b"hello"))):
            ends.sender.send(data)
            result = call(ends.source, ends.target, bytearray(ROOM), HEAD_OF_DATA)
            assert take_apart(result).broken
    finally:
        signal.signal(signal.SIGPIPE, before)

    assert form is not COMPILED or not came


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ((), TypeError),
        ((0, 1, bytearray(ROOM)), TypeError),
        ((0, 1, bytearray(ROOM), 0, 0), TypeError),
        (("0", 1, bytearray(ROOM), 0), TypeError),
        ((-1, 1, bytearray(ROOM), 0), ValueError),
        ((0, -1, bytearray(ROOM), 0), ValueError),
        ((0, 1 << 40, bytearray(ROOM), 0), OverflowError),
        ((0, 1, bytes(ROOM), 0), BufferError),
        ((0, 1, bytearray(HEAD_BYTES), 0), ValueError),
        ((0, 1, bytearray(1 << 20), 0), ValueError),
        ((0, 1, memoryview(bytearray(2 * ROOM))[::2], 0), BufferError),
        ((0, 1, bytearray(ROOM), -1), OverflowError),
        ((0, 1, bytearray(ROOM), 1 << 32), ValueError),
        ((0, 1, bytearray(ROOM), 1), ValueError),
        ((0, 1, bytearray(ROOM), 1 << 23), ValueError),
        ((0, 1, bytearray(ROOM), "head"), TypeError),
    ],
)
@pytest.mark.parametrize("name", ["forward", "deliver"])
def test_the_compiled_one_refuses_what_it_cannot_work_with(
    name: str, arguments: tuple[object, ...], error: type[Exception]
) -> None:
    with pytest.raises(error):
        getattr(compiled, name)(*arguments)
    for each in arguments:
        if isinstance(each, bytearray):  # of which no buffer is held
            each.append(0)
            each.pop()


def test_nothing_is_waited_for_on_sockets_that_would_wait(ends: Ends) -> None:
    ends.fill()
    for each, option in ((ends.source, socket.SO_RCVTIMEO), (ends.target, socket.SO_SNDTIMEO)):
        each.setblocking(True)
        each.setsockopt(socket.SOL_SOCKET, option, struct.pack("ll", WAIT_S, 0))
    before = time.monotonic()

    for call, data in ((compiled.forward, b"hello"), (compiled.deliver, frame_of(b"hello"))):
        arguments = ends.source.fileno(), ends.target.fileno(), bytearray(ROOM), HEAD_OF_DATA
        assert call(*arguments) == NOTHING
        ends.sender.send(data)
        assert take_apart(call(*arguments)).unsent > 0
    assert time.monotonic() - before < WAIT_S


def test_a_descriptor_that_is_closed_is_a_failure(ends: Ends) -> None:
    descriptor = ends.source.fileno()
    ends.source.close()

    for call in (compiled.forward, compiled.deliver):
        frame = bytearray(ROOM)
        assert call(descriptor, ends.target.fileno(), frame, HEAD_OF_DATA) == FAILED


@pytest.mark.parametrize("hops", [2_000, pytest.param(1_000_000, marks=pytest.mark.soak)], ids=str)
def test_hops_leave_nothing_behind(ends: Ends, hops: int) -> None:
    frame, many = bytearray(ROOM), bytearray(1 << 16)
    calls = (compiled.forward, b"hello"), (compiled.deliver, frame_of(b"hello"))
    arguments = ends.source.fileno(), ends.target.fileno(), frame, HEAD_OF_DATA

    def run(count: int) -> int:
        gc.collect()
        before = sys.getallocatedblocks()
        for number in range(count):
            call, data = calls[number % 2]
            if number % 4 < 2:
                ends.sender.send(data)
            call(*arguments)
            if number % 8 == 0:
                ends.receiver.recv_into(many)
                with pytest.raises(ValueError, match="head"):
                    call(0, 1, frame, 1)
        gc.collect()
        return sys.getallocatedblocks() - before

    run(64)
    counts = [sys.getrefcount(each) for each in (frame, *arguments[:2])]
    assert run(hops) < 64
    assert [sys.getrefcount(each) for each in (frame, *arguments[:2])] == counts
    frame.append(0)  # no buffer of it is held
