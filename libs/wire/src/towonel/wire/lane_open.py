"""Content of OPEN on a lane, which is sealed: flags, the preamble, and the client's first bytes.

flags 1 | preamble | first bytes of the client

flags   0x01  more: the edge holds bytes that follow these, and sends them after ACCEPT
"""

from typing import Final, NamedTuple

from towonel.wire import preamble
from towonel.wire.errors import Code, ProtocolError
from towonel.wire.lanes import MAX_FIRST_BYTES
from towonel.wire.preamble import Preamble

MORE: Final = 0x01
_NO_FLAGS: Final = b"\x00"
_MORE: Final = bytes([MORE])


class LaneOpen(NamedTuple):
    """Content of OPEN.

    Args:
        preamble: of the client.
        first: the client's first bytes, at most 16 KiB.
        more: whether bytes follow these.
    """

    preamble: Preamble
    first: bytes
    more: bool = False


def encode(content: LaneOpen) -> bytes:
    """Return the content's bytes."""
    opened, first, more = content
    if len(first) > MAX_FIRST_BYTES:
        raise ProtocolError(Code.TOO_LARGE, f"{len(first)} first bytes")
    return (_MORE if more else _NO_FLAGS) + preamble.encode(opened) + first


def decode(data: bytes) -> LaneOpen:
    """Return the content that bytes hold; flags that are not known here are ignored.

    Raises:
        ProtocolError: MALFORMED for no flags, BAD_PREAMBLE, TOO_LARGE.
    """
    if not data:
        raise ProtocolError(Code.MALFORMED, "OPEN without content")
    header = data[1:]
    found = preamble.read(header)
    if found is None:
        raise ProtocolError(Code.BAD_PREAMBLE, "the preamble is cut")
    first = header[found[1] :]
    if len(first) > MAX_FIRST_BYTES:
        raise ProtocolError(Code.TOO_LARGE, f"{len(first)} first bytes")
    return LaneOpen(found[0], first, more=bool(data[0] & MORE))
