"""Frames of a session over TCP: cut anywhere, of every length, and of none that there is."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from towonel.wire.errors import Code, ProtocolError
from towonel.wire.tcp import session_frames
from towonel.wire.tcp.session_frames import MAX_CONTROL_BYTES, SessionFrame, SessionFrameDecoder

PING = session_frames.encode(SessionFrame.PING, b"12345678")


def code_of(data: bytes) -> Code:
    with pytest.raises(ProtocolError) as caught:
        list(SessionFrameDecoder().feed(data))
    return caught.value.code


def test_frames_are_these_bytes() -> None:
    assert session_frames.encode_control(b"hello") == b"\1\0\0\5hello"
    assert session_frames.encode_close(Code.GOING_AWAY) == b"\2\0\0\2\0\x69"
    assert PING == b"\3\0\0\x0812345678"


@pytest.mark.branches
@given(st.binary(min_size=1, max_size=3 * MAX_CONTROL_BYTES), st.data())
def test_control_bytes_arrive_however_they_are_cut(data: bytes, draw: st.DataObject) -> None:
    sent = session_frames.encode_control(data) + PING
    cuts = sorted(draw.draw(st.lists(st.integers(0, len(sent)), max_size=5)))
    decoder, got = SessionFrameDecoder(), list[tuple[SessionFrame, bytes]]()
    for begin, end in zip([0, *cuts], [*cuts, len(sent)], strict=True):
        got += decoder.feed(sent[begin:end])

    assert got[-1] == (SessionFrame.PING, b"12345678")
    assert b"".join(payload for kind, payload in got if kind is SessionFrame.CONTROL) == data
    assert all(len(payload) <= MAX_CONTROL_BYTES for _, payload in got)


def test_the_code_of_a_close_comes_back_and_one_of_a_newer_peer_is_internal() -> None:
    ((kind, payload),) = SessionFrameDecoder().feed(session_frames.encode_close(Code.SUPERSEDED))

    assert (kind, session_frames.decode_code(payload)) == (SessionFrame.CLOSE, Code.SUPERSEDED)
    assert session_frames.decode_code(b"\xff\xff") is Code.INTERNAL


@pytest.mark.parametrize(
    ("head", "code"),
    [
        (b"\0\0\0\1", Code.UNEXPECTED_MESSAGE),
        (b"\5\0\0\1", Code.UNEXPECTED_MESSAGE),
        (b"\1\0\0\0", Code.MALFORMED),
        (b"\1\0\x40\1", Code.MALFORMED),
        (b"\1\xff\xff\xff", Code.MALFORMED),
        (b"\2\0\0\1", Code.MALFORMED),
        (b"\3\0\0\7", Code.MALFORMED),
        (b"\4\0\0\x09", Code.MALFORMED),
    ],
)
def test_a_head_that_there_is_not_is_refused_before_its_payload(head: bytes, code: Code) -> None:
    assert code_of(head) is code


@given(st.binary(max_size=200))
def test_garbage_raises_nothing_else(data: bytes) -> None:
    with contextlib.suppress(ProtocolError):
        list(SessionFrameDecoder().feed(data))
