"""Files in memory that processes share: why one cannot be had, and what to do about it."""

import contextlib
import errno
from collections.abc import Generator
from typing import Final

from towonel.runtime.lifecycle import GiveUp

_FORBIDDEN: Final = "let its sandbox allow memfd_create (seccomp profile, SystemCallFilter=)"
_MORE_MEMORY: Final = "give it more memory (the container's limit, MemoryMax=)"
_ADVICE: Final = {
    errno.EMFILE: "raise its limit of open files (ulimit -n, LimitNOFILE=)",
    errno.ENFILE: "raise the system's limit of open files (sysctl fs.file-max)",
    errno.EFBIG: "raise its limit of the size of files (ulimit -f, LimitFSIZE=)",
    errno.ENOMEM: _MORE_MEMORY,
    errno.ENOSPC: _MORE_MEMORY,
    errno.EPERM: _FORBIDDEN,
    errno.EACCES: _FORBIDDEN,
    errno.ENOSYS: _FORBIDDEN,
}


def describe_lack(what: str, error: OSError) -> str:
    """Return why there is no file in memory for something, and what to do."""
    problem = f"cannot make a file in memory for {what}: {error.strerror or error}"
    advice = _ADVICE.get(error.errno or 0)
    return f"{problem}; {advice}" if advice else problem


@contextlib.contextmanager
def need_memory_file(what: str) -> Generator[None]:
    """Make a file in memory in this block, without which the process cannot go on.

    Raises:
        GiveUp: it cannot be made.
    """
    try:
        yield
    except OSError as error:
        raise GiveUp(describe_lack(what, error)) from error
