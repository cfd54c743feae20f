"""Imports that a program does without, though what it imports would take them where they are installed.

It imports nothing that takes time, for an entry point calls it before all else.
"""

import sys


def leave_out_unused() -> None:
    """Let structlog find no Rich, and uvicorn not its own command line.

    Rich is a hundred modules, which the command line has, for tracebacks in colour: they take 80 ms, and nobody sees
    them, since ours are plain. The other is there for `python -m uvicorn`, with supervisors of processes: 60 ms
    and 1.5 MB.
    """
    sys.modules.setdefault("rich", None)  # type: ignore[arg-type]
    if "uvicorn.main" not in sys.modules:
        hollow = type(sys)("uvicorn.main")
        for name in ("Server", "main", "run"):  # which uvicorn imports from there
            setattr(hollow, name, None)
        sys.modules[hollow.__name__] = hollow
