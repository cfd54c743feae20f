"""Queue of bytes that have arrived and not been read."""

from collections import deque


class ByteQueue:
    """Queue of bytes, first in, first out, that never copies more than it hands out."""

    def __init__(self) -> None:
        self._chunks: deque[bytes] = deque()
        self._offset = 0  # into the first chunk
        self.size = 0  # bytes

    def push(self, data: bytes) -> None:
        if data:
            self._chunks.append(data)
            self.size += len(data)

    def take(self, max_bytes: int) -> bytes:
        """Remove and return up to `max_bytes`; fewer only when there are fewer."""
        parts: list[bytes] = []
        left = min(max_bytes, self.size)
        self.size -= left
        while left:
            chunk = self._chunks[0]
            part = chunk[self._offset : self._offset + left]
            left -= len(part)
            self._offset += len(part)
            parts.append(part)
            if self._offset == len(chunk):
                self._chunks.popleft()
                self._offset = 0
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def clear(self) -> int:
        """Drop everything; return how many bytes that was."""
        dropped, self.size, self._offset = self.size, 0, 0
        self._chunks.clear()
        return dropped
