"""Factory of invite tokens."""

import secrets

from towonel.wire.tokens import INVITE_ID_BYTES, SECRET_BYTES, SEED_BYTES, EdgeToken, InviteToken


def new_token[T: (InviteToken, EdgeToken)](url: str, kind: type[T]) -> T:
    """Return a token with a random id, secret and seed."""
    return kind(
        url,
        secrets.token_bytes(INVITE_ID_BYTES),
        secrets.token_bytes(SECRET_BYTES),
        secrets.token_bytes(SEED_BYTES),
    )
