"""Challenge HTTP-01 of an authority: the path that it asks for, and the request that an agent makes of it.

Only the token travels from edge to agent, never a request: whatever an edge sends, the origin gets no other than this.

Source: RFC 8555 §8.3.
"""

import re
from typing import Final

from towonel.wire.names import Hostname

PATH: Final = "/.well-known/acme-challenge/"
TOKEN: Final = re.compile(r"[A-Za-z0-9_-]{1,128}", re.ASCII)
MAX_ANSWER_BYTES: Final = 8 * 1024  # a key authorization has some hundred; servers add headers


def encode_challenge_request(name: Hostname, token: str) -> bytes:
    """Return the request that an origin gets for a token."""
    head = f"GET {PATH}{token} HTTP/1.1\r\nHost: {name}\r\nUser-Agent: towonel\r\nConnection: close\r\n\r\n"
    return head.encode()
