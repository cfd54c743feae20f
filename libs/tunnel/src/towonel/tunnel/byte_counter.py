"""A count of bytes that somebody else can look at while it grows."""

from dataclasses import dataclass


@dataclass(slots=True)
class ByteCounter:
    """Bytes that were handed over so far; several relays may add to one."""

    count: int = 0
