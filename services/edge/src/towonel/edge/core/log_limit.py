"""Log limit: at most one line in a while for what strangers can cause as often as they like."""

from collections.abc import Hashable

PAUSE_S = 1.0


class LogLimit[K: Hashable]:
    """Limit on the lines of each of a few keys, such as codes; it counts those that it holds back."""

    def __init__(self, pause_s: float = PAUSE_S) -> None:
        self._pause_s = pause_s
        self._logged_at: dict[K, float] = {}
        self._held_back: dict[K, int] = {}

    def admit(self, key: K, now: float) -> int | None:
        """Return how many lines were held back before this one, or None to hold it back, too."""
        logged_at = self._logged_at.get(key)
        if logged_at is not None and now - logged_at < self._pause_s:
            self._held_back[key] = self._held_back.get(key, 0) + 1
            return None
        self._logged_at[key] = now
        return self._held_back.pop(key, 0)
