"""Entry point of the edge: `towonel-edge`, or `python -m towonel.edge`."""

import sys
from functools import partial

from towonel.edge.app import serve
from towonel.edge.settings import EdgeSettings
from towonel.runtime import logs
from towonel.runtime.lifecycle import Serve
from towonel.runtime.lifecycle import main as run_main
from towonel.wire.tokens import SECRET_MARKS

CLEANUP_S = 5.0  # after the drain: the last report, and the routes on disk


def prepare(settings: EdgeSettings) -> tuple[Serve, float]:
    """Return what to run with these settings, and how long its drain may take, in seconds."""
    logs.configure(settings.log_level, settings.log_format, "edge", redact=SECRET_MARKS)
    return partial(serve, settings), settings.drain_timeout_s + CLEANUP_S


def main() -> None:
    """Run an edge until a signal ends it, and exit with its code."""
    sys.exit(run_main(EdgeSettings, prepare))


if __name__ == "__main__":
    main()
