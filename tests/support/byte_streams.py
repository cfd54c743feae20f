"""Byte streams by number: each differs from all others, and from itself further on, so that any mistake shows."""

import random

PIECE, MIB = 65_536, 1024 * 1024
_PATTERN = random.Random(9).randbytes(MIB)
_PATTERN += _PATTERN[:PIECE]


def piece(stream: int, at: int, size: int) -> bytes:
    """Return some bytes of a stream, `PIECE` at most."""
    start = (stream * 7919 + at) % MIB
    return _PATTERN[start : start + size]
