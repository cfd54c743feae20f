"""Stateless reset: how an edge that was started again says that it knows nothing of a connection.

    random bits, 5 bytes at least, as of a packet | token (16)

The token is made from the connection id with a key that outlives the process, so nothing has to be
stored. The peer was told it with the id, and gives the connection up.

Source: RFC 9000 §10.3.
"""

import hashlib
import hmac
import secrets
from collections.abc import Iterable

from aioquic.quic.events import ConnectionTerminated
from aioquic.quic.packet import STATELESS_RESET_TOKEN_SIZE, QuicErrorCode, QuicFrameType

from towonel.tunnel.core.bounds.token_bucket import TokenBucket

MIN_RESET_BYTES = 5 + STATELESS_RESET_TOKEN_SIZE
MAX_RESET_BYTES = 42  # as of a short packet of QUIC, so that it does not stand out
RESETS_PER_S = 500.0  # ten thousand agents of an edge that was started again are told in 20 s
LONG_HEADER = 0x80
FIXED_BIT = 0x40
STATELESS_RESET = ConnectionTerminated(
    error_code=QuicErrorCode.NO_ERROR,
    frame_type=QuicFrameType.PADDING,
    reason_phrase="the edge does not know this connection: it was started again",
)


class StatelessResetter:
    """Maker of tokens, and of the datagrams that end with one.

    Args:
        key: 32 bytes, secret, the same after a restart.
        now: seconds, monotonic.
        per_s: datagrams a second.
    """

    def __init__(self, key: bytes, now: float, per_s: float = RESETS_PER_S) -> None:
        self._key = key
        self._budget = TokenBucket(per_s, per_s, now)

    def make_token(self, connection_id: bytes) -> bytes:
        """Return the token of a connection id."""
        digest = hmac.digest(self._key, connection_id, hashlib.sha256)
        return digest[:STATELESS_RESET_TOKEN_SIZE]

    def answer(self, data: bytes, connection_id: bytes, now: float) -> bytes | None:
        """Return what to answer to a datagram for an unknown id, if anything.

        It is shorter than the datagram, so that two that do not know each other fall silent.
        """
        size = min(len(data) - 1, MAX_RESET_BYTES)
        if data[0] & LONG_HEADER or size < MIN_RESET_BYTES or not self._budget.take(now):
            return None
        bits = bytearray(secrets.token_bytes(size - STATELESS_RESET_TOKEN_SIZE))
        bits[0] = bits[0] & ~LONG_HEADER | FIXED_BIT
        return bytes(bits) + self.make_token(connection_id)


def is_reset(data: bytes, tokens: Iterable[bytes]) -> bool:
    """Return whether a datagram for an unknown id ends with one of these tokens, empty ones apart."""
    if len(data) < MIN_RESET_BYTES or data[0] & LONG_HEADER:
        return False
    last = data[-STATELESS_RESET_TOKEN_SIZE:]
    return any([hmac.compare_digest(last, token) for token in tokens])  # noqa: C419 in constant time
