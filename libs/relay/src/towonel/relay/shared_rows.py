"""Shared memory with one row of numbers for each of several workers: each writes its own, and reads all.

A number is 32 bits wide and written at once, so that nobody has to lock: what is read was true a moment ago.
"""

import fcntl
import mmap
import os
from typing import Final

type Row = memoryview[int]

_NUMBER_BYTES: Final = 4
_SEALS: Final = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW


def create_rows(rows: int, columns: int) -> int:
    """Return the descriptor of memory for so many rows, all of them 0.

    Raises:
        OSError: there is no memory, no descriptor, or no permission.
    """
    descriptor = os.memfd_create("rows", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.ftruncate(descriptor, rows * columns * _NUMBER_BYTES)
    fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, _SEALS)
    return descriptor


def map_rows(descriptor: int, rows: int, columns: int) -> list[Row]:
    """Return the rows of such memory, which stays mapped as long as one of them is there."""
    numbers = memoryview(mmap.mmap(descriptor, rows * columns * _NUMBER_BYTES)).cast("I")
    return [numbers[each * columns : (each + 1) * columns] for each in range(rows)]


def clear_row(row: Row) -> None:
    """Set all numbers of a row to 0: its worker is gone."""
    row.cast("B")[:] = bytes(row.nbytes)
