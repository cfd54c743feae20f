"""Counter of the places that each key holds at once, with a limit."""

import contextlib
from collections import Counter
from collections.abc import Generator, Hashable

from towonel.hub.core import counts
from towonel.wire.errors import Code, Unavailable


class KeyedPlaces:
    """Counter of places; a key that holds none takes no memory.

    Args:
        limit: of each key.
        subject: of the refusal, as in "requests of this edge".
        retry_after_s: when who is refused may come back.
    """

    def __init__(self, limit: int, subject: str, retry_after_s: float) -> None:
        self._limit = limit
        self._subject = subject
        self._retry_after_s = retry_after_s
        self._held = Counter[Hashable]()

    def __len__(self) -> int:
        """Number of keys that hold a place."""
        return len(self._held)

    @contextlib.contextmanager
    def hold(self, key: Hashable) -> Generator[None]:
        """Hold a place of a key for the time of the block.

        Raises:
            Unavailable: RATE_LIMITED where the key has none left.
        """
        if self._held[key] >= self._limit:
            raise Unavailable(
                Code.RATE_LIMITED,
                f"more than {self._limit} {self._subject} at once; ask again",
                retry_after_s=self._retry_after_s,
            )
        counts.add(self._held, key, 1)
        try:
            yield
        finally:
            counts.add(self._held, key, -1)
