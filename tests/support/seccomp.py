"""Sandbox that forbids files in memory, as a container's seccomp profile may; the script starts a program in it.

Its arguments are the program and the number of the error that `memfd_create` ends with.
"""

import ctypes
import platform
import struct
import sys
from importlib import import_module
from typing import Final

_NUMBERS: Final = {"x86_64": 319, "aarch64": 279}  # of memfd_create
_PR_SET_SECCOMP, _PR_SET_NO_NEW_PRIVS, _MODE_FILTER = 22, 38, 2
_LOAD, _JUMP_IF_EQUAL, _RETURN = 0x20, 0x15, 0x06
_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))


def forbid_memory_files(error: int) -> None:
    """Let `memfd_create` fail in this process, and those it starts, from now on."""
    number = _NUMBERS[platform.machine()]
    steps = (
        (_LOAD, 0, 0, 0),  # the number of the system call
        (_JUMP_IF_EQUAL, 0, 1, number),
        (_RETURN, 0, 0, _ERRNO | error),
        (_RETURN, 0, 0, _ALLOW),
    )
    content = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in steps))
    program = _Program(len(steps), ctypes.addressof(content))
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    for arguments in (
        (_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0),
        (_PR_SET_SECCOMP, _MODE_FILTER, ctypes.byref(program), 0, 0),
    ):
        if prctl(*arguments):
            raise OSError(ctypes.get_errno(), "prctl")


if __name__ == "__main__":
    _, name, wanted = sys.argv
    del sys.argv[1:]
    forbid_memory_files(int(wanted))
    import_module(f"towonel.{name}.cli").main()
