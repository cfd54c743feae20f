"""Keys of sealed datagrams: one for each direction, under a secret that travelled inside a session.

    key     HKDF-SHA256(secret, info = domain | direction)
    seal    ChaCha20-Poly1305(key, nonce = 4 zeros and the packet's counter, associated = the packet's head)

A counter is used once under a secret; the sender asks for another secret long before it is used up.

Source: RFC 5869 (HKDF), RFC 8439 (ChaCha20-Poly1305).
"""

from enum import Enum
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from towonel.wire.udp.datagrams import HEAD_BYTES, encode_head

SECRET_BYTES: Final = 32
_DOMAIN: Final = b"towonel/datagrams/v1 "
_ZEROS: Final = bytes(4)


class DatagramEnd(Enum):
    """End of a session that seals datagrams."""

    EDGE = b"edge"
    AGENT = b"agent"


class DatagramKeys:
    """Keys of one secret, at one end.

    Args:
        index: that names the secret in packets.
        secret: 32 random bytes.
        end: this one.

    Attributes:
        counter: of the packet that is sealed next; none is ever used twice.
    """

    def __init__(self, index: int, secret: bytes, end: DatagramEnd) -> None:
        other = DatagramEnd.AGENT if end is DatagramEnd.EDGE else DatagramEnd.EDGE
        self.index = index
        self.counter = 0
        self._sealing = _derive(secret, end)
        self._opening = _derive(secret, other)

    def seal(self, record: bytes) -> bytes:
        """Return the packet of a record."""
        counter = self.counter
        self.counter = counter + 1
        head = encode_head(self.index, counter)
        return head + self._sealing.encrypt(_ZEROS + head[4:], record, head)

    def open(self, packet: bytes) -> bytes | None:
        """Return the record of a packet, or None for one that the other end has not sealed."""
        head = packet[:HEAD_BYTES]
        try:
            return self._opening.decrypt(_ZEROS + head[4:], packet[HEAD_BYTES:], head)
        except InvalidTag:
            return None


def _derive(secret: bytes, sender: DatagramEnd) -> ChaCha20Poly1305:
    info = _DOMAIN + sender.value
    return ChaCha20Poly1305(
        HKDF(algorithm=SHA256(), length=32, salt=None, info=info).derive(secret)
    )
