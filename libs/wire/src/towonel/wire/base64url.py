"""Codec of base64url without padding (RFC 4648 §5), strict: each text stands for its bytes only."""

import base64
import binascii
import re

from towonel.wire.errors import Code, ProtocolError

_ALPHABET = re.compile(r"[A-Za-z0-9_-]*", re.ASCII)


def encode(data: bytes) -> str:
    """Return `data` as text, without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def decode(text: str) -> bytes:
    """Return the bytes that `text` stands for.

    Raises:
        ProtocolError: MALFORMED for padding, white space, a letter outside the alphabet, or bits
            that no encoder leaves behind.
    """
    if not _ALPHABET.fullmatch(text):
        raise ProtocolError(Code.MALFORMED, "not base64url without padding")
    try:
        data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except (binascii.Error, ValueError) as error:
        raise ProtocolError(Code.MALFORMED, "not base64url: wrong length") from error
    if encode(data) != text:
        raise ProtocolError(Code.MALFORMED, "not base64url: stray bits at the end")
    return data
