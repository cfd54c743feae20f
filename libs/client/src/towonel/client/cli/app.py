"""The command `towonel`: its parts, and what happens without any."""

import importlib.metadata
from typing import Annotated

import typer

from towonel.client.cli import (
    agent_keys,
    edge_invites,
    entries,
    invite_edits,
    keys,
    ports,
    tenant_keys,
)
from towonel.client.cli.command import asks
from towonel.client.cli.demo.command import demo
from towonel.client.cli.options import Json, examples
from towonel.client.cli.serve import serve
from towonel.client.cli.status import status

app = typer.Typer(
    name="towonel",
    help="A self-hosted tunnel. Without a command: serve.",
    epilog=examples(
        "towonel demo",
        "towonel serve",
        "towonel invite create --hostnames app.example.eu",
        "towonel status --json",
    ),
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(invite_edits.app, name="invite")
app.add_typer(edge_invites.app, name="edge-invite")
app.add_typer(tenant_keys.app, name="tenant")
app.add_typer(entries.app, name="entry")
app.add_typer(agent_keys.app, name="agent")
app.add_typer(keys.app, name="key")
app.add_typer(ports.app, name="port")
asks(
    app,
    "status",
    "towonel status",
    "towonel status --hub-url https://hub.example.eu",
    needs_key=False,
)(status)
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
    as_json: Json = False,
) -> None:
    """Run `serve` when no command is given, as the original does."""
    if version:
        typer.echo(importlib.metadata.version("towonel-client"))
    elif context.invoked_subcommand is None:
        serve(as_json=as_json)
