"""Pool of pipes: what spliced bytes pass through without a copy.

A pipe is lent empty and must come back empty. Users who are not root have 64 MiB of pipes in all, so
there are few, and the kernel may grant less than what is asked for; without one, bytes are copied. What
was refused is asked for again later: it may have been taken by others of the same user.
"""

import contextlib
import fcntl
import os
from typing import Final

from towonel.relay.hop.results import FAILED, NOTHING

SPLICE_FLAGS: Final = os.SPLICE_F_MOVE | os.SPLICE_F_NONBLOCK if hasattr(os, "splice") else 0
PIPE_BYTES: Final = 256 * 1024
MAX_PIPES: Final = 32
PAUSE: Final = (
    256  # times that a pipe is wanted after one was refused, before the next is asked for
)
MIN_BYTES: Final = 64 * 1024  # a smaller pipe costs more system calls than copying


class Pipe:
    """Pipe, both ends non-blocking, and how many bytes it takes."""

    def __init__(self) -> None:
        self.reader, self.writer = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        with contextlib.suppress(PermissionError):  # the user's share of pipe memory is used up
            fcntl.fcntl(self.writer, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        self.size = fcntl.fcntl(self.writer, fcntl.F_GETPIPE_SZ)

    def fill(self, descriptor: int) -> int:
        """Splice what has come to a socket, and return how many bytes, or NOTHING or FAILED."""
        try:
            return os.splice(descriptor, self.writer, self.size, flags=SPLICE_FLAGS)
        except BlockingIOError:
            return NOTHING
        except OSError:
            return FAILED

    def close(self) -> None:
        """Close both ends."""
        os.close(self.reader)
        os.close(self.writer)


class PipePool:
    """Pool of pipes, made when they are first needed."""

    def __init__(self, most: int = MAX_PIPES) -> None:
        self._free: list[Pipe] = []
        self._more = most
        self._pause = 0

    def borrow(self) -> Pipe | None:
        """Return an empty pipe; None where there is none to be had, or no `splice`."""
        if self._free:
            return self._free.pop()
        if not self._more or not hasattr(os, "splice"):
            return None
        if self._pause:
            self._pause -= 1
            return None
        pipe = _open_pipe()
        if pipe is None:
            self._pause = PAUSE
        else:
            self._more -= 1
        return pipe

    def give_back(self, pipe: Pipe, *, empty: bool) -> None:
        """Take back a pipe; one that still has bytes of somebody's connection is closed."""
        if empty:
            self._free.append(pipe)
        else:
            pipe.close()
            self._more += 1

    def close(self) -> None:
        """Close the pipes that nobody has."""
        while self._free:
            self._free.pop().close()


def _open_pipe() -> Pipe | None:
    """Return a new pipe, or None where there is none of a useful size."""
    try:
        pipe = Pipe()
    except OSError:  # no descriptor left
        return None
    if pipe.size < MIN_BYTES:
        pipe.close()
        return None
    return pipe
