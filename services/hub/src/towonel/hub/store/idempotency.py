"""Repository of answers to requests with an Idempotency-Key, so that a repeated one gets the same answer.

An answer can hold a token that the hub must not know. It is encrypted under the caller's own secret, which
the hub does not keep either: only the same caller with the same key can decrypt it.
"""

import secrets
from dataclasses import dataclass, field

import blake3
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from pydantic import BaseModel

from towonel.hub.store.db.transactions import Write
from towonel.hub.store.tables import AnswerRow
from towonel.wire.errors import Code, Denied

_NONCE_BYTES = 12
_ID_CONTEXT = "towonel 2026-11 idempotent answer id"
_SEAL_CONTEXT = "towonel 2026-11 idempotent answer seal"


@dataclass(frozen=True, slots=True)
class IdempotentRequest:
    """Request that may be repeated.

    Args:
        actor: the caller; the same key of another caller is a different one.
        secret: what only the caller has.
        key: the Idempotency-Key.
        request: method, path and body.
    """

    actor: str
    secret: bytes = field(repr=False)
    key: str
    request: bytes = field(repr=False)

    async def replay[M: BaseModel](self, write: Write, model: type[M]) -> M | None:
        """Return the stored answer, or None if there is none.

        Raises:
            Denied: IDEMPOTENCY_CONFLICT if the key was used with another request, or the caller's
                secret was rotated meanwhile.
        """
        answer_id = self._answer_id()
        row = await write.session.get(AnswerRow, answer_id)
        if row is None:
            return None
        if row.request_hash != self._request_hash():
            raise Denied(
                Code.IDEMPOTENCY_CONFLICT, "Idempotency-Key: came before with another request"
            )
        nonce, sealed = row.sealed[:_NONCE_BYTES], row.sealed[_NONCE_BYTES:]
        try:
            return model.model_validate_json(self._cipher().decrypt(nonce, sealed, answer_id))
        except InvalidTag:
            raise Denied(
                Code.IDEMPOTENCY_CONFLICT, "Idempotency-Key: its answer was for another secret"
            ) from None

    def store(self, write: Write, answer: BaseModel) -> None:
        """Store an answer, as part of the write that it is about."""
        answer_id, nonce = self._answer_id(), secrets.token_bytes(_NONCE_BYTES)
        sealed = self._cipher().encrypt(nonce, answer.model_dump_json().encode(), answer_id)
        write.session.add(
            AnswerRow(
                answer_id=answer_id,
                request_hash=self._request_hash(),
                sealed=nonce + sealed,
                created_at_ms=write.now_ms,
            )
        )

    def _answer_id(self) -> bytes:
        return _derive(_ID_CONTEXT, self.actor.encode(), self.key.encode())

    def _request_hash(self) -> bytes:
        return blake3.blake3(self.request).digest()

    def _cipher(self) -> AESGCM:
        return AESGCM(_derive(_SEAL_CONTEXT, self.secret, self.key.encode()))


def _derive(context: str, first: bytes, second: bytes) -> bytes:
    material = len(first).to_bytes(4) + first + second
    return blake3.blake3(material, derive_key_context=context).digest()
