"""Imports that a program does without, though what it imports would take them where they are installed.

It imports nothing that takes time, for an entry point calls it before all else.
"""

import sys


def leave_out_rich() -> None:
    """Let structlog find no Rich, which the command line has: a hundred modules, for tracebacks in colour.

    They take a program 80 ms of its start, and nobody sees them: ours are plain.
    """
    sys.modules.setdefault("rich", None)  # type: ignore[arg-type]
