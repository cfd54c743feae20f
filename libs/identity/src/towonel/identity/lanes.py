"""Keys of a lane: proofs that admit it, and the seal of what opens each use.

    proof   HMAC-SHA256(lane secret, domain | role | session id | nonces | edge id | certificate)
    key     HKDF-SHA256(lane secret, salt = nonces, info = domain), of one lane
    seal    ChaCha20-Poly1305(key, nonce = the use's number, associated = the frame's head)

The lane secret is the session's, and travelled inside it. A lane's key is its own because the nonces are,
and a number is used once because a lane counts its uses and ends with its TCP connection.

Source: RFC 2104 (HMAC), RFC 5869 (HKDF), RFC 8439 (ChaCha20-Poly1305).
"""

import hashlib
import hmac
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from towonel.wire.errors import Code, Denied

SECRET_BYTES = 32
SEAL_BYTES = 16
_PROOF = b"towonel/lane-proof/v1"
_KEY = b"towonel/lane-key/v1"


class Role(Enum):
    """End of a lane that proves itself."""

    EDGE = b"edge"
    AGENT = b"agent"


@dataclass(frozen=True, slots=True)
class LaneIdentity:
    """Identity of one lane: what both ends must mean the same by.

    Args:
        session_id: 16 bytes.
        agent_nonce: 16 random bytes of this lane.
        edge_nonce: the edge's.
        edge_id: 32 bytes, the edge's key.
        certificate_hash: SHA-256 of the certificate that the session was opened under.
    """

    session_id: bytes
    agent_nonce: bytes
    edge_nonce: bytes
    edge_id: bytes
    certificate_hash: bytes


def prove(secret: bytes, role: Role, lane: LaneIdentity) -> bytes:
    """Return the proof that an end of a lane holds the session's lane secret."""
    message = b"".join(
        (
            _PROOF,
            role.value,
            lane.session_id,
            lane.agent_nonce,
            lane.edge_nonce,
            lane.edge_id,
            lane.certificate_hash,
        )
    )
    return hmac.digest(secret, message, hashlib.sha256)


def check_proof(mac: bytes, secret: bytes, role: Role, lane: LaneIdentity) -> None:
    """Check the proof of the other end, in constant time.

    Raises:
        Denied: INVALID_SIGNATURE.
    """
    if not hmac.compare_digest(mac, prove(secret, role, lane)):
        raise Denied(Code.INVALID_SIGNATURE, f"proof of the lane's {role.name.lower()}")


class LaneSeal:
    """Seal of what opens the uses of one lane."""

    def __init__(self, secret: bytes, lane: LaneIdentity) -> None:
        nonces = lane.agent_nonce + lane.edge_nonce
        self._key = HKDF(algorithm=SHA256(), length=32, salt=nonces, info=_KEY).derive(secret)

    def seal(self, use: int, head: bytes, content: bytes) -> bytes:
        """Return the payload of OPEN, 16 bytes longer than its content.

        Args:
            use: number of the use, from 1, which is not sent; each is sealed once.
            head: of the frame, which announces the sealed length.
            content: what is sealed.
        """
        return _cipher(self._key).encrypt(_nonce(use), content, head)

    def open(self, use: int, head: bytes, payload: bytes) -> bytes:
        """Return the content of an OPEN.

        Raises:
            Denied: INVALID_SIGNATURE for one that was changed, or of another lane or use.
        """
        try:
            return _cipher(self._key).decrypt(_nonce(use), payload, head)
        except InvalidTag:
            raise Denied(Code.INVALID_SIGNATURE, f"OPEN of use {use}") from None


# A cipher takes 3 KiB, and a lane needs it once a use: those used last are enough.
_cipher = lru_cache(maxsize=256)(ChaCha20Poly1305)


def _nonce(use: int) -> bytes:
    return use.to_bytes(12)
