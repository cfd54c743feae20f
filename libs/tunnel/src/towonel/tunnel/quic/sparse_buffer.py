"""Sparse buffer: bytes at offsets far apart, of which only what was written takes memory.

It consists of blocks of one size. A run of bytes takes at most two blocks more than it fills, and
writing costs the same wherever it is, in whatever order.
"""

BLOCK_BYTES = 1024


class SparseBuffer:
    """Sparse buffer; who uses it knows which of its bytes were written."""

    __slots__ = ("blocks",)

    def __init__(self) -> None:
        self.blocks: dict[int, bytearray] = {}

    def write(self, offset: int, data: bytes) -> None:
        """Write bytes at an offset."""
        number, start = divmod(offset, BLOCK_BYTES)
        done = 0
        while done < len(data):
            part = data[done : done + BLOCK_BYTES - start]
            if (block := self.blocks.get(number)) is None:
                block = self.blocks[number] = bytearray(BLOCK_BYTES)
            block[start : start + len(part)] = part
            done += len(part)
            number, start = number + 1, 0

    def take(self, start: int, stop: int) -> bytes:
        """Return the bytes from `start` to `stop`, and drop every block that ends there or before."""
        first, end = start // BLOCK_BYTES, stop // BLOCK_BYTES
        parts = [self.blocks.pop(number) for number in range(first, end)]
        if stop % BLOCK_BYTES:
            parts.append(self.blocks[end][: stop % BLOCK_BYTES])
        parts[0] = parts[0][start % BLOCK_BYTES :]
        return b"".join(parts)

    def clear(self) -> None:
        """Drop everything."""
        self.blocks.clear()
