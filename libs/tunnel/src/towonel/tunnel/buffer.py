"""Bytes that have arrived and not been read."""

from collections import deque


class ByteQueue:
    """A first-in-first-out of bytes that never copies more than it hands out."""

    def __init__(self) -> None:
        self._chunks: deque[bytes] = deque()
        self._taken = 0  # of the first chunk
        self.size = 0  # bytes

    def push(self, data: bytes) -> None:
        if data:
            self._chunks.append(data)
            self.size += len(data)

    def take(self, max_bytes: int) -> bytes:
        """Remove and return up to `max_bytes`; fewer only when there are fewer."""
        parts: list[bytes] = []
        wanted = min(max_bytes, self.size)
        self.size -= wanted
        while wanted:
            chunk = self._chunks[0]
            part = chunk[self._taken : self._taken + wanted]
            wanted -= len(part)
            self._taken += len(part)
            parts.append(part)
            if self._taken == len(chunk):
                self._chunks.popleft()
                self._taken = 0
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def clear(self) -> int:
        """Drop everything; return how many bytes that was."""
        dropped, self.size, self._taken = self.size, 0, 0
        self._chunks.clear()
        return dropped
