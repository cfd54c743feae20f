"""Sealed packets between edge and agent, and the records of flows that they carry.

A flow is what one client of a UDP service sends and gets. The edge numbers the flows of a session.

    packet    type (1) | index (3) | counter (8) | sealed record and tag
    record    flow (4) | kind (1) | body

The type's first two bits are 0: QUIC version 1 never begins a packet so (RFC 9443), so that both share a port.
The index names the secret, and with it the session. The counter is the sender's under that secret.

    kind            body
    DATA            the datagram's bytes
    OPENING         preamble | the datagram's bytes
    FRAGMENT        number of the datagram (2) | piece (1) | pieces (1) | a piece of kind and body of one record
    OPENED          seconds for which the flow may be idle (4)
    UNKNOWN         nothing: send OPENING again
    ENDED           code (2)
    PING            token (8) | zeros, so that the packet has the size that is tried; its flow is 0
    PONG            the token; its flow is 0

Where UDP does not pass, packets go over a lane inside TLS, each in a frame of length (4) and packet.
"""

import struct
from enum import IntEnum
from typing import Final, NamedTuple

from towonel.wire.errors import Code, ProtocolError

PACKET_TYPE: Final = 0x01
HEAD_BYTES: Final = 12
TAG_BYTES: Final = 16  # of ChaCha20-Poly1305
RECORD_HEAD_BYTES: Final = 5
FRAGMENT_HEAD_BYTES: Final = 4
OVERHEAD_BYTES: Final = (
    HEAD_BYTES + TAG_BYTES + RECORD_HEAD_BYTES
)  # of a packet, beside a record's body
TOKEN_BYTES: Final = 8
MAX_INDEX: Final = 0xFFFFFF
MAX_DATAGRAM_BYTES: Final = 65_507  # over IPv4 (RFC 768, RFC 791)
MAX_PIECES: Final = 64  # of one record; 1 232 bytes each are enough for the largest
MAX_PACKET_BYTES: Final = (
    OVERHEAD_BYTES + 1024 + MAX_DATAGRAM_BYTES
)  # with the largest preamble, in a frame
_HEAD: Final = struct.Struct(">IQ")
_RECORD: Final = struct.Struct(">IB")
_FRAGMENT: Final = struct.Struct(">HBB")
_LENGTH: Final = struct.Struct(">I")
_IDLE: Final = struct.Struct(">I")
_CODE: Final = struct.Struct(">H")


class RecordKind(IntEnum):
    """Kind of a record."""

    DATA = 0
    OPENING = 1
    FRAGMENT = 2
    OPENED = 3
    UNKNOWN = 4
    ENDED = 5
    PING = 6
    PONG = 7


class Record(NamedTuple):
    """Record of a flow; `kind` may be one that is not known here."""

    flow: int
    kind: int
    body: bytes


class Fragment(NamedTuple):
    """Piece of a record that is too large for one packet."""

    number: int
    piece: int
    pieces: int
    data: bytes


def encode_head(index: int, counter: int) -> bytes:
    """Return the head of a packet."""
    return _HEAD.pack(PACKET_TYPE << 24 | index, counter)


def decode_head(packet: bytes) -> tuple[int, int] | None:
    """Return index and counter of a packet; None for anything else."""
    if len(packet) < OVERHEAD_BYTES or packet[0] != PACKET_TYPE:
        return None
    word, counter = _HEAD.unpack_from(packet)
    return word & MAX_INDEX, counter


def read_index(packet: bytes) -> int:
    """Return the index of a packet; that of anything else may be any."""
    return int.from_bytes(packet[1:4])


def encode_record(flow: int, kind: int, body: bytes = b"") -> bytes:
    """Return a record's bytes."""
    return _RECORD.pack(flow, kind) + body


def decode_record(data: bytes) -> Record:
    """Return the record that `data` holds.

    Raises:
        ProtocolError: MALFORMED.
    """
    if len(data) < RECORD_HEAD_BYTES:
        raise _error("a record is too short")
    flow, kind = _RECORD.unpack_from(data)
    return Record(flow, kind, data[RECORD_HEAD_BYTES:])


def encode_fragment(fragment: Fragment) -> bytes:
    """Return the body of a fragment's record."""
    return _FRAGMENT.pack(fragment.number, fragment.piece, fragment.pieces) + fragment.data


def decode_fragment(body: bytes) -> Fragment:
    """Return the piece that a record of this body has.

    Raises:
        ProtocolError: MALFORMED.
    """
    if len(body) <= FRAGMENT_HEAD_BYTES:
        raise _error("a fragment has no bytes")
    number, piece, pieces = _FRAGMENT.unpack_from(body)
    if not 1 < pieces <= MAX_PIECES or piece >= pieces:
        raise _error(f"piece {piece} of {pieces}")
    return Fragment(number, piece, pieces, body[FRAGMENT_HEAD_BYTES:])


def encode_opened(idle_s: int) -> bytes:
    """Return the body of OPENED."""
    return _IDLE.pack(idle_s)


def decode_opened(body: bytes) -> int:
    """Return for how many seconds a flow may be idle.

    Raises:
        ProtocolError: MALFORMED.
    """
    if len(body) < _IDLE.size:
        raise _error("OPENED is too short")
    (idle_s,) = _IDLE.unpack_from(body)
    return int(idle_s)


def encode_ended(code: Code) -> bytes:
    """Return the body of ENDED."""
    return _CODE.pack(code)


def decode_ended(body: bytes) -> Code:
    """Return why a flow has ended; INTERNAL for a code that is not known here.

    Raises:
        ProtocolError: MALFORMED.
    """
    if len(body) < _CODE.size:
        raise _error("ENDED is too short")
    (number,) = _CODE.unpack_from(body)
    return Code(number) if number in Code else Code.INTERNAL


def encode_frame(packet: bytes) -> bytes:
    """Return a packet as it travels over a lane."""
    return _LENGTH.pack(len(packet)) + packet


class FrameDecoder:
    """Decoder of the packets that come over a lane, cut anywhere."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """Return the packets that `data` completes.

        Raises:
            ProtocolError: TOO_LARGE, before such a one is held.
        """
        self._buffer += data
        packets: list[bytes] = []
        start = 0
        while len(self._buffer) - start >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._buffer, start)
            if length > MAX_PACKET_BYTES:
                raise ProtocolError(Code.TOO_LARGE, f"a packet of {length} bytes")
            end = start + _LENGTH.size + length
            if len(self._buffer) < end:
                break
            packets.append(bytes(self._buffer[start + _LENGTH.size : end]))
            start = end
        del self._buffer[:start]
        return packets


def _error(detail: str) -> ProtocolError:
    return ProtocolError(Code.MALFORMED, detail)
