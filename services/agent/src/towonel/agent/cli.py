"""Command line of the agent: run it, or check its settings."""

import argparse
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from towonel.agent.app import create_identity, serve
from towonel.agent.metrics import VERSION
from towonel.agent.settings import AgentSettings
from towonel.runtime import lifecycle, logs
from towonel.runtime.environment.command_line import check_settings, make_parser
from towonel.runtime.environment.health_check import check_health
from towonel.runtime.exit_codes import EXIT_USAGE
from towonel.runtime.secretfile import replace
from towonel.runtime.settings import load, log_warnings
from towonel.wire.addresses import HEALTH_LISTENERS, LAST_PORT
from towonel.wire.tokens import SECRET_MARKS

if TYPE_CHECKING:
    from towonel.relay.supervisor import Start as StartWorker

ABOUT = (
    "Publish the services beside this agent. All else is in its environment: TOWONEL_INVITE_TOKEN,"
    " TOWONEL_AGENT_SERVICES; see the README for every variable."
)


def _parse_port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) <= LAST_PORT):
        raise argparse.ArgumentTypeError(f"must be a port, 0 to {LAST_PORT}")
    return int(text)


def _parse_arguments() -> argparse.Namespace:
    parser = make_parser("towonel-agent", ABOUT, VERSION)
    parser.add_argument(
        "--health-port",
        type=_parse_port,
        metavar="PORT",
        help="Serve health on 0.0.0.0 and this port.",
    )
    parser.add_argument(
        "--node-id-out", type=Path, metavar="PATH", help="Write the agent's id to this file."
    )
    return parser.parse_args()


def _find_given_address(arguments: argparse.Namespace) -> tuple[str, int] | None:
    if arguments.health_port is None:
        return None
    return "0.0.0.0", arguments.health_port  # noqa: S104 what the original's flag does


def _apply_arguments(arguments: argparse.Namespace, settings: AgentSettings) -> AgentSettings:
    address = _find_given_address(arguments) or settings.health_listen_addr
    return settings.model_copy(update={"health_listen_addr": address})


def _prepare(
    arguments: argparse.Namespace, start_worker: "StartWorker | None", settings: AgentSettings
) -> tuple[lifecycle.Serve, float]:
    logs.configure(settings.log_level, settings.log_format, "agent", redact=SECRET_MARKS)
    log_warnings(settings)
    settings = _apply_arguments(arguments, settings)
    identity = create_identity(settings)
    if arguments.node_id_out is not None:
        replace(arguments.node_id_out, f"{identity.agent.public.hex()}\n".encode())
    run = partial(
        serve,
        settings,
        identity=identity,
        start_worker=start_worker,
        read=lambda: _apply_arguments(arguments, load(AgentSettings)),
    )
    return run, settings.drain_timeout_secs


def main(start_worker: "StartWorker | None" = None) -> None:
    """Run until a signal, and exit with the lifecycle's code.

    `start_worker` starts the worker, if not by exec.
    """
    arguments = _parse_arguments()
    if arguments.check:
        sys.exit(check_settings(AgentSettings))
    if arguments.health:
        sys.exit(check_health(*HEALTH_LISTENERS["agent"], _find_given_address(arguments)))
    try:
        sys.exit(lifecycle.main(AgentSettings, partial(_prepare, arguments, start_worker)))
    except OSError as error:  # before the process runs, only of the one file that it is to write
        line = f"--node-id-out: cannot write {arguments.node_id_out}: {error.strerror}"
        print(line, file=sys.stderr)  # noqa: T201 a command line prints
        sys.exit(EXIT_USAGE)
