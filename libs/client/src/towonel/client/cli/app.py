"""The command `towonel`: its parts, and what happens without any."""

import importlib.metadata
from typing import Annotated

import typer

from towonel.client.cli import (
    agent_keys,
    audit,
    completion,
    edge_invites,
    edges,
    entries,
    invite_edits,
    keys,
    ports,
    profiles,
    publications,
    tenant_keys,
)
from towonel.client.cli.command import asks
from towonel.client.cli.demo.command import demo
from towonel.client.cli.hub_program import hub
from towonel.client.cli.options import Json, examples
from towonel.client.cli.serve import serve
from towonel.client.cli.status import status

EXIT_CODES = """\b
Exit codes:
  0    done
  1    refused, or failed
  2    the command line is wrong
  75   the hub does not answer now, or wants it slower
  78   the configuration is wrong
  130  ended by Ctrl-C

"""

app = typer.Typer(
    name="towonel",
    help="A self-hosted tunnel. Without a command: serve.",
    epilog=EXIT_CODES
    + examples(
        "towonel demo",
        "towonel serve",
        "towonel invite create --hostnames app.example.eu",
        "towonel status --json",
        "towonel --install-completion bash",
    ),
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
GROUPS = {
    "invite": ("invites", invite_edits.app),
    "edge-invite": ("edge-invites", edge_invites.app),
    "tenant": ("tenants", tenant_keys.app),
    "service": ("services", publications.services),
    "route": ("routes", publications.routes),
    "agent": ("agents", agent_keys.app),
    "edge": ("edges", edges.app),
    "port": ("ports", ports.app),
    "key": ("keys", keys.app),
    "entry": ("entries", entries.app),
    "audit": (None, audit.app),
    "profile": ("profiles", profiles.app),
}
for name, (plural, commands) in GROUPS.items():
    app.add_typer(commands, name=name)
    if plural is not None:  # both are written, and both are right
        app.add_typer(commands, name=plural, hidden=True)
app.add_typer(profiles.root)
completion.prepare()
asks(
    app,
    "status",
    "towonel status",
    "towonel status --watch",
    "towonel status --hub-url https://hub.example.eu",
    needs_key=False,
)(status)
app.command(
    context_settings={
        "allow_extra_args": True,
        "ignore_unknown_options": True,
        "help_option_names": [],  # its own program has the better help
    },
    add_help_option=False,
)(hub)
app.command(
    epilog=examples(
        "TOWONEL_DATA_DIR=/var/lib/towonel towonel serve",
        "TOWONEL_HUB_ENABLED=false towonel serve     # only an edge",
    )
)(serve)
app.command(
    epilog=examples("towonel demo", "towonel demo --once", "towonel demo --port-base 20000")
)(demo)


@app.callback(invoke_without_command=True)
def without_command(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
    install_completion: completion.Install = None,
    show_completion: completion.Show = None,
    as_json: Json = False,
) -> None:
    """Run `serve` when no command is given, as the original does."""
    if version:
        typer.echo(importlib.metadata.version("towonel-client"))
    elif show_completion is not None:
        completion.show(show_completion)
    elif install_completion is not None:
        completion.install(install_completion)
    elif context.invoked_subcommand is None:
        serve(as_json=as_json)
    else:
        return
    raise typer.Exit
