"""Bounded cache of the values that were put most recently."""


class RecentValues[V]:
    """Bounded cache: of too many values, the one that was put longest ago is dropped."""

    def __init__(self, max_values: int) -> None:
        self._max_values = max_values
        self._values: dict[str, V] = {}

    def get(self, key: str, default: V) -> V:
        return self._values.get(key, default)

    def put(self, key: str, value: V) -> None:
        self._values.pop(key, None)
        while len(self._values) >= self._max_values:
            del self._values[next(iter(self._values))]
        self._values[key] = value
