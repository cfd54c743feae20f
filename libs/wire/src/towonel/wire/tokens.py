"""Invite and edge tokens, byte-compatible with the original.

    tt_inv_2_ <hub url> . <invite id, 16 bytes> . <secret, 32 bytes> . <tenant seed, 32 bytes>
    tt_edge_2_ <hub url> . <invite id, 16 bytes> . <secret, 32 bytes> . <edge seed, 32 bytes>

Each part is base64url without padding; the hub url is UTF-8.
"""

from dataclasses import dataclass, field
from typing import ClassVar, Self

from towonel.wire import base64url
from towonel.wire.errors import Code, ProtocolError

API_KEY_PREFIX = "tt_key_1_"
INVITE_ID_BYTES = 16
SECRET_BYTES = 32
SEED_BYTES = 32
MAX_TOKEN_CHARS = 4096  # a hub url of 2 KiB is far beyond any real one
_PARTS = (("invite id", INVITE_ID_BYTES), ("secret", SECRET_BYTES), ("seed", SEED_BYTES))


@dataclass(frozen=True, slots=True)
class _Token:
    """Token of an invite: where the hub is, and the secrets to use it with."""

    prefix: ClassVar[str]
    owner: ClassVar[str]
    command: ClassVar[str]  # that makes one

    hub_url: str
    invite_id: bytes
    secret: bytes = field(repr=False)
    seed: bytes = field(repr=False)

    def encode(self) -> str:
        """Return the token's text, which is a secret."""
        parts = (self.hub_url.encode(), self.invite_id, self.secret, self.seed)
        return self.prefix + ".".join(base64url.encode(part) for part in parts)

    @classmethod
    def decode(cls, text: str) -> Self:
        """Return the token that `text` spells; white space in it is ignored, as of wrapped lines.

        Raises:
            ProtocolError: BAD_TOKEN, naming the rule and never a part of the token.
        """
        text = "".join(text.split())
        if (other := _find_other_kind(cls, text)) is not None:
            rule = f"expected a token that starts with {cls.prefix}; that is {other.owner} token"
            raise _error(f"{rule}: use one that `{cls.command}` prints")
        try:
            return cls._parse(text)
        except ProtocolError as error:
            advice = f"copy the whole token that `{cls.command}` printed"
            raise _error(f"{error.detail}; {advice}") from None

    @classmethod
    def _parse(cls, text: str) -> Self:
        if not text.startswith(cls.prefix) or len(text) > MAX_TOKEN_CHARS:
            raise _error(f"expected a token that starts with {cls.prefix}")
        segments = text.removeprefix(cls.prefix).split(".")
        if len(segments) != len(_PARTS) + 1:
            raise _error(f"expected 4 parts separated by dots, found {len(segments)}")
        url = _decode_part("hub url", segments[0], None)
        try:
            hub_url = url.decode()
        except UnicodeDecodeError:
            raise _error("the hub url is not UTF-8") from None
        rest = [_decode_part(name, segments[i], size) for i, (name, size) in enumerate(_PARTS, 1)]
        return cls(hub_url, *rest)


class InviteToken(_Token):
    """Token with which an agent speaks for a tenant."""

    __slots__ = ()
    prefix = "tt_inv_2_"
    owner, command = "an agent's", "towonel invite create"


class EdgeToken(_Token):
    """Token with which an edge registers with a hub."""

    __slots__ = ()
    prefix = "tt_edge_2_"
    owner, command = "an edge's", "towonel edge-invite create"


# Prefixes of all secrets, by which logs and traces find and remove them.
SECRET_MARKS = (InviteToken.prefix, EdgeToken.prefix, API_KEY_PREFIX)


def _find_other_kind(expected: type[_Token], text: str) -> type[_Token] | None:
    """Return the kind of token that was given in place of another, or None."""
    kinds = (InviteToken, EdgeToken)
    return next(
        (kind for kind in kinds if kind is not expected and text.startswith(kind.prefix)), None
    )


def _decode_part(name: str, segment: str, size: int | None) -> bytes:
    try:
        data = base64url.decode(segment)
    except ProtocolError:
        raise _error(f"the {name} is not base64url without padding") from None
    if size is not None and len(data) != size:
        raise _error(f"the {name} has {len(data)} bytes, expected {size}")
    return data


def _error(rule: str) -> ProtocolError:
    return ProtocolError(Code.BAD_TOKEN, rule)
