"""Token buckets by key: so many at once, and so many a second, of each source or tenant."""

from collections.abc import Hashable

from towonel.tunnel.core.bounds.token_bucket import TokenBucket


class KeyedBuckets[K: Hashable]:
    """Token buckets by key, of bounded number; one that is full again is forgotten.

    Args:
        per_s: tokens that come back to each in a second.
        burst: tokens that each holds at most.
        capacity: buckets; of more, the one that was asked least recently is forgotten.
    """

    def __init__(self, per_s: float, burst: float, capacity: int) -> None:
        self._per_s = per_s
        self._burst = burst
        self._capacity = capacity
        self._buckets: dict[K, TokenBucket] = {}  # the one that was asked least recently first

    def __len__(self) -> int:
        return len(self._buckets)

    def take(self, key: K, now: float) -> bool:
        """Take a token of a key, or return False where it has none; `now` is in monotonic seconds."""
        bucket = self._buckets.pop(key, None) or TokenBucket(self._per_s, self._burst, now)
        self._forget(now)
        self._buckets[key] = bucket
        return bucket.take(now)

    def put_back(self, key: K) -> None:
        """Put a token of a key back, which was taken for nothing."""
        if key in self._buckets:
            self._buckets[key].add(1)

    def _forget(self, now: float) -> None:
        """Make room for one, and forget those at the front that say no more than none would."""
        while self._buckets:
            oldest = next(iter(self._buckets))
            if len(self._buckets) < self._capacity and not self._buckets[oldest].is_full(now):
                return
            del self._buckets[oldest]
