"""Codec of lane frames: heads and codes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.vectors import load

from towonel.wire import lanes
from towonel.wire.errors import Code, ProtocolError
from towonel.wire.lanes import FrameType

LENGTHS = {
    FrameType.OPEN: (1, 18_432),
    FrameType.DATA: (1, 1_048_576),
    FrameType.ACCEPT: (0, 1_048_576),
    FrameType.REJECT: (2, 2),
    FrameType.END: (0, 0),
    FrameType.RESET: (2, 2),
    FrameType.PING: (8, 8),
    FrameType.PONG: (8, 8),
}
PROBES = {FrameType.PING, FrameType.PONG}


@pytest.mark.parametrize("vector", load("lanes")["heads"], ids=lambda vector: vector["type"])
def test_heads_are_the_bytes_of_the_protocol(vector: dict[str, object]) -> None:
    kind = FrameType[str(vector["type"])]
    use, length = int(str(vector["use"])), int(str(vector["length"]))
    data = bytes.fromhex(str(vector["hex"]))

    assert lanes.encode_head(kind, use, length) == data
    assert lanes.decode_head(int.from_bytes(data)) == (kind, use & 15, length)


@given(st.sampled_from(FrameType), st.integers(0, 2**64), st.data())
def test_what_is_written_is_read(kind: FrameType, use: int, data: st.DataObject) -> None:
    length = data.draw(st.integers(*LENGTHS[kind]))
    use = 0 if kind in PROBES else use

    head = lanes.encode_head(kind, use, length)

    assert lanes.decode_head(int.from_bytes(head)) == (kind, use & 15, length)


@given(st.integers(0, 2**32 - 1))
def test_any_four_bytes_are_a_head_or_a_protocol_error(word: int) -> None:
    try:
        kind, use, length = lanes.decode_head(word)
    except ProtocolError:
        return
    assert int.from_bytes(lanes.encode_head(kind, use, length)) == word


@pytest.mark.parametrize("kind", FrameType)
def test_a_length_that_the_type_cannot_have_is_refused(kind: FrameType) -> None:
    least, most = LENGTHS[kind]
    codes = {most + 1: Code.TOO_LARGE, least - 1: Code.MALFORMED}

    for length, code in codes.items():
        if length >= 0:
            assert code_of(kind << 28 | length) is code


@pytest.mark.parametrize("kind", [0, 9, 15])
def test_an_unknown_type_is_refused(kind: int) -> None:
    assert code_of(kind << 28) is Code.UNEXPECTED_MESSAGE


@pytest.mark.parametrize("kind", PROBES)
def test_a_probe_belongs_to_no_use(kind: FrameType) -> None:
    assert code_of(kind << 28 | 1 << 24 | 8) is Code.MALFORMED


def code_of(word: int) -> Code:
    with pytest.raises(ProtocolError) as refused:
        lanes.decode_head(word)
    return refused.value.code


@pytest.mark.parametrize("code", Code)
def test_a_code_travels(code: Code) -> None:
    frame = lanes.encode_code(FrameType.RESET, 17, code)

    assert frame[:4] == lanes.encode_head(FrameType.RESET, 1, 2)
    assert lanes.decode_code(frame[4:]) is code


def test_a_code_of_a_newer_peer_is_internal() -> None:
    assert lanes.decode_code(b"\xff\xff") is Code.INTERNAL
