"""Frames of a session over TCP, inside TLS: the bytes of its control stream, pings, and the close.

    type (u8) | length (u24) | payload

    1 CONTROL   1 to 16 384 bytes of the control stream
    2 CLOSE     code (u16): the last frame
    3 PING      8 bytes of any kind, to come back in
    4 PONG

Source: docs/protocol.md, sessions over TCP.
"""

from collections.abc import Iterator
from enum import IntEnum
from typing import Final

from towonel.wire.errors import Code, ProtocolError

ALPN: Final = b"towonel-session/1"
MAX_CONTROL_BYTES: Final = 16 * 1024
PING_BYTES: Final = 8
_CODE_BYTES: Final = 2
_HEAD_BYTES: Final = 4


class SessionFrame(IntEnum):
    """Type of a frame."""

    CONTROL = 1
    CLOSE = 2
    PING = 3
    PONG = 4


_LENGTHS: Final = {
    SessionFrame.CONTROL: range(1, MAX_CONTROL_BYTES + 1),
    SessionFrame.CLOSE: range(_CODE_BYTES, _CODE_BYTES + 1),
    SessionFrame.PING: range(PING_BYTES, PING_BYTES + 1),
    SessionFrame.PONG: range(PING_BYTES, PING_BYTES + 1),
}


def encode(kind: SessionFrame, payload: bytes) -> bytes:
    """Return a frame."""
    assert len(payload) in _LENGTHS[kind], "a frame has a length that its type allows"
    return bytes([kind]) + len(payload).to_bytes(3) + payload


def encode_control(data: bytes) -> bytes:
    """Return bytes of the control stream, in as many frames as they need."""
    pieces = (data[at : at + MAX_CONTROL_BYTES] for at in range(0, len(data), MAX_CONTROL_BYTES))
    return b"".join(encode(SessionFrame.CONTROL, piece) for piece in pieces)


def encode_close(code: Code) -> bytes:
    """Return the last frame."""
    return encode(SessionFrame.CLOSE, int(code).to_bytes(_CODE_BYTES))


def decode_code(payload: bytes) -> Code:
    """Return the code of CLOSE; one that is not known counts as INTERNAL."""
    number = int.from_bytes(payload)
    return Code(number) if number in {*Code} else Code.INTERNAL


class SessionFrameDecoder:
    """Decoder of frames from bytes cut anywhere; it keeps less than one frame."""

    def __init__(self) -> None:
        self._held = b""

    def feed(self, data: bytes) -> Iterator[tuple[SessionFrame, bytes]]:
        """Yield the frames that are whole now.

        Raises:
            ProtocolError: UNEXPECTED_MESSAGE for a type, MALFORMED for a length that there is not.
        """
        held, at = self._held + data, 0
        while len(held) - at >= _HEAD_BYTES:
            kind, length = _decode_head(held[at : at + _HEAD_BYTES])
            end = at + _HEAD_BYTES + length
            if len(held) < end:
                break
            yield kind, held[at + _HEAD_BYTES : end]
            at = end
        self._held = held[at:]


def _decode_head(head: bytes) -> tuple[SessionFrame, int]:
    number, length = head[0], int.from_bytes(head[1:])
    if number not in {*SessionFrame}:
        raise ProtocolError(Code.UNEXPECTED_MESSAGE, f"frame of type {number}")
    kind = SessionFrame(number)
    if length not in _LENGTHS[kind]:
        raise ProtocolError(Code.MALFORMED, f"{kind.name} of {length} bytes")
    return kind, length
