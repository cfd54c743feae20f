"""Command line of the edge: run it, or check its settings."""

import sys
from functools import partial
from importlib.metadata import version
from typing import TYPE_CHECKING

from towonel.edge.settings import EdgeSettings
from towonel.runtime import logs
from towonel.runtime.environment.command_line import check_settings, make_parser
from towonel.runtime.environment.health_check import check_health
from towonel.runtime.lifecycle import Serve
from towonel.runtime.lifecycle import main as run_main
from towonel.runtime.settings import log_warnings
from towonel.wire.addresses import HEALTH_LISTENERS
from towonel.wire.tokens import SECRET_MARKS

if TYPE_CHECKING:
    from towonel.relay.supervisor import Start as StartWorker

NAME = "towonel-edge"
ABOUT = (
    "Run an edge: clients connect to it, and agents. All else is in its environment:"
    " TOWONEL_EDGE_INVITE_TOKEN makes this machine an edge of a hub elsewhere; see the README for"
    " every variable."
)


def prepare(
    settings: EdgeSettings, start_worker: "StartWorker | None" = None
) -> tuple[Serve, float]:
    """Return what to run with these settings, and how long its drain may take, in seconds."""
    from towonel.edge.app import serve  # noqa: PLC0415 a check needs none of it

    logs.configure(settings.log_level, settings.log_format, "edge", redact=SECRET_MARKS)
    log_warnings(settings)
    run = partial(serve, settings, start_worker=start_worker)
    return run, settings.drain_timeout_s


def main(start_worker: "StartWorker | None" = None) -> None:
    """Run an edge until a signal ends it, and exit with its code.

    `start_worker` starts its workers, if not by exec.
    """
    arguments = make_parser(NAME, ABOUT, version(NAME)).parse_args()
    if arguments.check:
        from towonel.edge.credentials import find_key_problems  # noqa: PLC0415 a run has it elsewhere

        sys.exit(check_settings(EdgeSettings, find_key_problems))
    if arguments.health:
        sys.exit(check_health(*HEALTH_LISTENERS["edge"]))
    sys.exit(run_main(EdgeSettings, partial(prepare, start_worker=start_worker)))
