"""Answers to creates that carried an Idempotency-Key, so that a repeated request gets the same one.

An answer can hold a token that the hub must not know. It is sealed under the caller's own secret, which
the hub does not keep either: without the same caller and the same key it stays closed.
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
    """A request that may come twice: who makes it, with what secret, and under which key.

    Args:
        actor: who makes it; the same key of somebody else is another.
        secret: what only the caller has.
        key: the Idempotency-Key; none where each request counts.
        request: what is asked: method, path and body.
    """

    actor: str
    secret: bytes = field(repr=False)
    key: str | None
    request: bytes = field(repr=False)

    async def replay[M: BaseModel](self, change: Write, model: type[M]) -> M | None:
        """Return the answer that was given before, if one was.

        Raises:
            Denied: IDEMPOTENCY_CONFLICT where the key came with another request, or the caller's
                secret was rotated meanwhile.
        """
        if self.key is None:
            return None
        row = await change.session.get(AnswerRow, self._id)
        if row is None:
            return None
        if row.request_hash != self._request_hash:
            raise Denied(
                Code.IDEMPOTENCY_CONFLICT, "Idempotency-Key: came before with another request"
            )
        nonce, sealed = row.sealed[:_NONCE_BYTES], row.sealed[_NONCE_BYTES:]
        try:
            return model.model_validate_json(self._cipher.decrypt(nonce, sealed, self._id))
        except InvalidTag:
            raise Denied(
                Code.IDEMPOTENCY_CONFLICT, "Idempotency-Key: its answer was for another secret"
            ) from None

    async def store(self, change: Write, answer: BaseModel, now_ms: int) -> None:
        """Keep an answer, with the write it tells of or not at all."""
        if self.key is None:
            return
        nonce = secrets.token_bytes(_NONCE_BYTES)
        sealed = self._cipher.encrypt(nonce, answer.model_dump_json().encode(), self._id)
        change.session.add(
            AnswerRow(
                answer_id=self._id,
                request_hash=self._request_hash,
                sealed=nonce + sealed,
                created_at_ms=now_ms,
            )
        )

    @property
    def _id(self) -> bytes:
        return _derived(_ID_CONTEXT, self.actor.encode(), (self.key or "").encode())

    @property
    def _request_hash(self) -> bytes:
        return blake3.blake3(self.request).digest()

    @property
    def _cipher(self) -> AESGCM:
        return AESGCM(_derived(_SEAL_CONTEXT, self.secret, (self.key or "").encode()))


def _derived(context: str, first: bytes, second: bytes) -> bytes:
    material = len(first).to_bytes(4) + first + second
    return blake3.blake3(material, derive_key_context=context).digest()
