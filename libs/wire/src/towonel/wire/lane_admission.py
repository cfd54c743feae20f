"""Messages that admit a lane, of fixed lengths, before its first frame.

    agent   magic 8 | session id 16 | nonce 16         says which session it is a lane of
    edge    code (u16) | nonce 16 | MAC 32             0 and a proof, or why not; then the rest is zero
    agent   MAC 32                                     a proof; frames may follow at once

The proofs are made and checked in `towonel.identity.lanes`.
"""

import struct
from dataclasses import dataclass
from typing import Final

from towonel.wire.errors import Code, ProtocolError
from towonel.wire.messages import SESSION_ID_BYTES

MAGIC: Final[bytes] = b"\xf7TWLANE\x01"  # its first byte begins no TLS record and no PROXY header
ALPN: Final = b"towonel-lane/1"  # of a lane inside TLS
NONCE_BYTES: Final = 16
MAC_BYTES: Final = 32
HELLO_BYTES: Final = len(MAGIC) + SESSION_ID_BYTES + NONCE_BYTES
_ANSWER: Final = struct.Struct(f">H{NONCE_BYTES}s{MAC_BYTES}s")
ANSWER_BYTES: Final = _ANSWER.size


@dataclass(frozen=True, slots=True)
class LaneHello:
    """First message of a lane: the session that it belongs to, or the pool of one as of `tls_pool_id`."""

    session_id: bytes
    nonce: bytes


@dataclass(frozen=True, slots=True)
class LaneAnswer:
    """Answer of the edge: its nonce and proof."""

    nonce: bytes
    mac: bytes


def tls_pool_id(session_id: bytes) -> bytes:
    """Return the id under which a session's lanes inside TLS are admitted that carry services other than https.

    They are a pool of their own beside the session's other lanes, of any kind. Its id is that of the session with
    the last bit inverted: that of the pool leads back to the session.
    """
    return session_id[:-1] + bytes([session_id[-1] ^ 1])


def encode_hello(hello: LaneHello) -> bytes:
    """Return the bytes of a hello."""
    return MAGIC + hello.session_id + hello.nonce


def decode_hello(data: bytes) -> LaneHello:
    """Return the hello that `HELLO_BYTES` bytes hold.

    Raises:
        ProtocolError: UNSUPPORTED_VERSION for another magic.
    """
    if not data.startswith(MAGIC):
        raise ProtocolError(Code.UNSUPPORTED_VERSION, "not a lane of version 1")
    at = len(MAGIC)
    return LaneHello(data[at : at + SESSION_ID_BYTES], data[at + SESSION_ID_BYTES :])


def encode_answer(answer: LaneAnswer) -> bytes:
    """Return the bytes of an answer."""
    return _ANSWER.pack(Code.NORMAL, answer.nonce, answer.mac)


def encode_refusal(code: Code) -> bytes:
    """Return the bytes of an answer that refuses the lane."""
    return _ANSWER.pack(code, bytes(NONCE_BYTES), bytes(MAC_BYTES))


def decode_answer(data: bytes) -> LaneAnswer | Code:
    """Return the answer that `ANSWER_BYTES` bytes hold, or the code of a refusal.

    Nothing proves that a refusal is the edge's: whoever can forge one can as well cut the lane.
    """
    number, nonce, mac = _ANSWER.unpack(data)
    if number == Code.NORMAL:
        return LaneAnswer(nonce, mac)
    return Code(number) if number in Code else Code.INTERNAL
