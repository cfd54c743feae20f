"""Arguments of the agent's command line."""

import argparse
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from towonel.agent.core.service_flags import (
    PORT_FORM,
    TCP_FORM,
    TO_FORM,
    UDP_FORM,
    write_https,
    write_tcp,
    write_udp,
)
from towonel.agent.core.services import ProxyProtocol
from towonel.agent.metrics import VERSION
from towonel.runtime.environment.command_line import make_parser
from towonel.wire.addresses import LAST_PORT

_ABOUT: Final = """\
Publish the services beside this agent. All else is in its environment: TOWONEL_INVITE_TOKEN, and for services
TOWONEL_AGENT_SERVICES, TOWONEL_AGENT_TCP_SERVICES and TOWONEL_AGENT_UDP_SERVICES, unless flags name them;
docs/settings.md has every variable.
TOWONEL_AGENT_CONFIG names a file with any of them."""
_EXAMPLES: Final = """\
examples:
  towonel-agent --hostname app.example.eu --to 8443
  towonel-agent --hostname app.example.eu --to web:443 --hostname git.example.eu --to forgejo:443 --proxy-protocol none
  towonel-agent --tcp ssh=2222:forgejo:22 --tcp auto:5432 --udp dns=5353:53
  towonel-agent --tcp 2222:22 --check"""


@dataclass(frozen=True, slots=True)
class Arguments:
    """Arguments, as they are meant.

    Args:
        check: whether to say what is wrong with the settings, and end.
        health: whether to ask the agent that runs whether it is ready, and end.
        health_address: where health is served, if that is said.
        node_id_out: file for the agent's id.
        services: that flags name, as the variables would have them.
    """

    check: bool
    health: bool
    health_address: tuple[str, int] | None
    node_id_out: Path | None
    services: Mapping[str, str]


def parse_arguments() -> Arguments:
    """Return the arguments of this process; a mistake in them ends it, as `--help` does."""
    parser = make_parser("towonel-agent", _ABOUT, VERSION)
    parser.epilog = _EXAMPLES
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument(
        "--health-port",
        type=_parse_port,
        metavar="PORT",
        help="Serve health on 0.0.0.0 and this port.",
    )
    parser.add_argument(
        "--node-id-out", type=Path, metavar="PATH", help="Write the agent's id to this file."
    )
    _add_services(parser)
    found = parser.parse_args()
    try:
        services = {
            "TOWONEL_AGENT_SERVICES": write_https(found.hostname, found.to, found.proxy_protocol),
            "TOWONEL_AGENT_TCP_SERVICES": write_tcp(found.tcp),
            "TOWONEL_AGENT_UDP_SERVICES": write_udp(found.udp),
        }
    except ValueError as error:
        parser.error(str(error))
    address = None if found.health_port is None else ("0.0.0.0", found.health_port)  # noqa: S104 what the original's flag does
    given = {name: text for name, text in services.items() if text}
    return Arguments(found.check, found.health, address, found.node_id_out, given)


def _add_services(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group(
        "services",
        "In place of variables; --hostname with its --to, --tcp and --udp may be repeated.",
    )
    group.add_argument(
        "--hostname",
        action="append",
        default=[],
        metavar="NAME",
        help="Publish an HTTPS service of this hostname, with the --to that goes with it.",
    )
    group.add_argument(
        "--to", action="append", default=[], metavar="[HOST:]PORT", help=f"Its origin: {TO_FORM}."
    )
    group.add_argument(
        "--proxy-protocol",
        choices=[each.value for each in ProxyProtocol],
        help="What origins of --hostname get in front of a client's bytes: v2 by default.",
    )
    for kind, form in (("tcp", TCP_FORM), ("udp", UDP_FORM)):
        group.add_argument(
            f"--{kind}",
            action="append",
            default=[],
            metavar=PORT_FORM,
            help=f"Publish a {kind.upper()} service: {form}.",
        )


def _parse_port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) <= LAST_PORT):
        raise argparse.ArgumentTypeError(f"must be a port, 0 to {LAST_PORT}")
    return int(text)
