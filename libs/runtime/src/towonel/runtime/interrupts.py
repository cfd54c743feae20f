"""Handlers of SIGINT for a program that is still being imported: Ctrl-C ends it without a traceback.

It imports nothing that takes time, for it is the first thing that an entry point imports.
"""

import os
import signal

from towonel.runtime.exit_codes import EXIT_INTERRUPTED


def end_at_interrupt() -> None:
    """Let Ctrl-C end the process at once, unless SIGINT is ignored or handled already."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _end)


def raise_at_interrupt() -> None:
    """Let Ctrl-C raise KeyboardInterrupt again, where somebody catches it."""
    if signal.getsignal(signal.SIGINT) is _end:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _end(_number: int, _frame: object) -> None:
    os._exit(EXIT_INTERRUPTED)
