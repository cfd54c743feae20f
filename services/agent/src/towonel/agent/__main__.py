"""Entry point of the agent: `towonel-agent`, or `python -m towonel.agent`."""

import argparse
import sys
from functools import partial
from pathlib import Path

from towonel.agent.app import create_identity, serve
from towonel.agent.metrics import VERSION
from towonel.agent.settings import AgentSettings
from towonel.runtime import lifecycle, logs
from towonel.runtime.secretfile import replace
from towonel.wire.tokens import SECRET_MARKS


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="towonel-agent",
        description="Publish the services beside this agent. All else is in its environment: "
        "TOWONEL_INVITE_TOKEN, TOWONEL_AGENT_SERVICES; see the README for every variable.",
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {VERSION}")
    parser.add_argument(
        "--health-port", type=int, metavar="PORT", help="serve health on 0.0.0.0 and this port"
    )
    parser.add_argument(
        "--node-id-out", type=Path, metavar="PATH", help="write the agent's id to this file"
    )
    return parser.parse_args()


def _prepare(
    arguments: argparse.Namespace, settings: AgentSettings
) -> tuple[lifecycle.Serve, float]:
    logs.configure(settings.log_level, settings.log_format, "agent", redact=SECRET_MARKS)
    if arguments.health_port is not None:
        address = ("0.0.0.0", arguments.health_port)  # noqa: S104 what the original's flag does
        settings = settings.model_copy(update={"health_listen_addr": address})
    identity = create_identity(settings)
    if arguments.node_id_out is not None:
        replace(arguments.node_id_out, f"{identity.agent.public.hex()}\n".encode())
    run = partial(serve, settings, identity=identity)
    return run, settings.drain_timeout_secs + 5


def main() -> None:
    """Run until a signal, and exit with the lifecycle's code."""
    sys.exit(lifecycle.main(AgentSettings, partial(_prepare, _parse_arguments())))


if __name__ == "__main__":
    main()
