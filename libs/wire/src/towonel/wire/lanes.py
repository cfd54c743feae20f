"""Codec of lane frames: the heads of what edge and agent send over a lane.

A lane is a TCP connection from agent to edge that carries one client connection after another; each
of these is a use, numbered from 1.

     31    28 27    24 23                     0
    +--------+--------+------------------------+----------------+
    | type   | use    | length                 | payload        |
    +--------+--------+------------------------+----------------+
    use: the low bits of the use's number; 0 in PING and PONG, which belong to none

    OPEN    edge         flags, preamble and first client bytes, sealed
    DATA    both         bytes of the connection
    ACCEPT  agent        the origin is connected; the first bytes of its answer, or none
    REJECT  agent        code (u16): no client byte reached the origin
    END     both         no more bytes of the connection will come
    RESET   both         code (u16): the connection failed
    PING    both         8 bytes, which the PONG repeats
"""

import struct
from enum import IntEnum
from typing import Final

from towonel.wire.errors import Code, ProtocolError

HEAD_BYTES: Final = 4
USE_BITS: Final = 0x0F
MAX_DATA_BYTES: Final = 1024 * 1024
MAX_FIRST_BYTES: Final = 16 * 1024  # a ClientHello at its largest
MAX_OPEN_BYTES: Final = 18 * 1024  # these, a preamble, flags and the seal
PROBE_BYTES: Final = 8
CODE_BYTES: Final = 2
HEAD: Final = struct.Struct(">I")
CODE: Final = struct.Struct(">H")


class FrameType(IntEnum):
    """Type of a lane frame."""

    __hash__ = int.__hash__  # an enum's own is a function of Python

    OPEN = 1
    DATA = 2
    ACCEPT = 3
    REJECT = 4
    END = 5
    RESET = 6
    PING = 7
    PONG = 8


_LENGTHS: Final = {  # the least and the greatest length of each type's payload
    FrameType.OPEN: (1, MAX_OPEN_BYTES),
    FrameType.DATA: (1, MAX_DATA_BYTES),
    FrameType.ACCEPT: (0, MAX_DATA_BYTES),
    FrameType.REJECT: (CODE_BYTES, CODE_BYTES),
    FrameType.END: (0, 0),
    FrameType.RESET: (CODE_BYTES, CODE_BYTES),
    FrameType.PING: (PROBE_BYTES, PROBE_BYTES),
    FrameType.PONG: (PROBE_BYTES, PROBE_BYTES),
}

_TYPES: Final = tuple(
    FrameType(number) if number in FrameType else None for number in range(1 << 4)
)


def encode_head(kind: FrameType, use: int, length: int) -> bytes:
    """Return the head of a frame; of `use`, the number of the use, the low bits travel."""
    return HEAD.pack(kind << 28 | (use & USE_BITS) << 24 | length)


def decode_head(word: int) -> tuple[FrameType, int, int]:
    """Return the type, the low bits of the use, and the length that a head announces.

    Raises:
        ProtocolError: UNEXPECTED_MESSAGE for an unknown type, TOO_LARGE or MALFORMED for a length
            that frames of this type cannot have.
    """
    kind, use, length = word >> 28, word >> 24 & USE_BITS, word & 0xFFFFFF
    frame = _TYPES[kind]
    if frame is None:
        raise ProtocolError(Code.UNEXPECTED_MESSAGE, f"frame type {kind}")
    least, most = _LENGTHS[frame]
    if length > most:
        raise ProtocolError(Code.TOO_LARGE, f"{frame.name} of {length} bytes, at most {most}")
    if length < least:
        raise ProtocolError(Code.MALFORMED, f"{frame.name} of {length} bytes, at least {least}")
    if use and (frame is FrameType.PING or frame is FrameType.PONG):
        raise ProtocolError(Code.MALFORMED, f"{frame.name} belongs to no use")
    return frame, use, length


def encode_code(kind: FrameType, use: int, code: Code) -> bytes:
    """Return a whole REJECT or RESET."""
    return encode_head(kind, use, CODE_BYTES) + CODE.pack(code)


def decode_code(payload: bytes) -> Code:
    """Return the code of a REJECT or RESET; one that is not known here is INTERNAL."""
    (number,) = CODE.unpack(payload)
    return Code(number) if number in Code else Code.INTERNAL
