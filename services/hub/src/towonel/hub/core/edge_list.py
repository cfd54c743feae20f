"""Digest of the list of edges, by which edges notice that agents are to ask for it again."""

import hashlib
from collections.abc import Iterable

from towonel.wire.routes import TAG_BYTES


def hash_list(listed: Iterable[tuple[object, ...]]) -> bytes:
    """Return a digest of edges in any order: of what agents are told of each."""
    ordered = sorted(map(repr, listed))
    return hashlib.sha256("\n".join(ordered).encode()).digest()[:TAG_BYTES]
