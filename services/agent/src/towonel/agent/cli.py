"""Command line of the agent: run it, or check its settings."""

import sys
from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING

from towonel.agent.app import serve
from towonel.agent.configuration.arguments import Arguments, parse_arguments
from towonel.agent.configuration.config_file import find_health_address
from towonel.agent.configuration.reading import read_settings
from towonel.agent.core.services import describe_service
from towonel.agent.reconcile import create_identity
from towonel.agent.settings import AgentSettings
from towonel.runtime import lifecycle, logs
from towonel.runtime.environment.command_line import check_settings
from towonel.runtime.environment.health_check import check_health
from towonel.runtime.exit_codes import EXIT_USAGE
from towonel.runtime.secretfile import replace
from towonel.runtime.settings import log_warnings
from towonel.wire.addresses import HEALTH_LISTENERS
from towonel.wire.tokens import SECRET_MARKS

if TYPE_CHECKING:
    from towonel.relay.supervisor import Start as StartWorker


def _read(arguments: Arguments) -> AgentSettings:
    settings = read_settings(arguments.services)
    address = arguments.health_address or settings.health_listen_addr
    return settings.model_copy(update={"health_listen_addr": address})


def _describe(settings: AgentSettings) -> Iterator[str]:
    """Yield where an agent of these settings publishes, and what."""
    yield f"hub {settings.invite_token.hub_url}, group {settings.group}"
    yield from map(describe_service, settings.all_services)


def _prepare(
    arguments: Arguments, start_worker: "StartWorker | None", settings: AgentSettings
) -> tuple[lifecycle.Serve, float]:
    logs.configure(settings.log_level, settings.log_format, "agent", redact=SECRET_MARKS)
    log_warnings(settings)
    identity = create_identity(settings.invite_token, settings.group)
    if arguments.node_id_out is not None:
        replace(arguments.node_id_out, f"{identity.agent.public.hex()}\n".encode())
    read = partial(_read, arguments)
    run = partial(serve, settings, identity=identity, start_worker=start_worker, read=read)
    return run, settings.drain_timeout_secs


def main(start_worker: "StartWorker | None" = None) -> None:
    """Run until a signal, and exit with the lifecycle's code.

    `start_worker` starts the worker, if not by exec.
    """
    arguments = parse_arguments()
    read = partial(_read, arguments)
    if arguments.check:
        sys.exit(check_settings(AgentSettings, read=read, describe=_describe))
    if arguments.health:
        address = arguments.health_address or find_health_address()
        sys.exit(check_health(*HEALTH_LISTENERS["agent"], address))
    try:
        sys.exit(
            lifecycle.main(AgentSettings, partial(_prepare, arguments, start_worker), read=read)
        )
    except OSError as error:  # before the process runs, only of the one file that it is to write
        line = f"--node-id-out: cannot write {arguments.node_id_out}: {error.strerror}"
        print(line, file=sys.stderr)  # noqa: T201 a command line prints
        sys.exit(EXIT_USAGE)
