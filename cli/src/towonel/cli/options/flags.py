"""Flags that several commands share."""

from typing import Annotated

import typer

from towonel.cli.options.choices import Format

HubUrl = Annotated[
    str | None,
    typer.Option(
        "--hub-url",
        metavar="URL",
        help="The hub. Else TOWONEL_HUB_URL, the login's, or the hub of this machine.",
        show_default=False,
    ),
]
ApiKey = Annotated[
    str | None,
    typer.Option(
        "--api-key",
        metavar="KEY",
        help="The operator key or an API key. Others on this machine can see flags: rather log in,"
        " set TOWONEL_OPERATOR_KEY_FILE, or let it be found in the hub's data folder.",
        show_default=False,
    ),
]
Profile = Annotated[
    str | None,
    typer.Option(
        "--profile",
        metavar="NAME",
        help="The login to use. Else TOWONEL_PROFILE, else the current one.",
        show_default=False,
    ),
]
Name = Annotated[
    str | None,
    typer.Option("--name", metavar="NAME", help="A name to know it by. [default: a random one]"),
]
ItemId = Annotated[
    str, typer.Option("--id", metavar="ID", help="The id that `list` shows.", show_default=False)
]
OutputFormat = Annotated[Format, typer.Option("--output", "-o", help="What to print.")]


def _or_at_root(context: typer.Context, value: bool) -> bool:
    """Return whether JSON is wanted, also by `towonel --json status`."""
    return value or context.find_root().params.get("as_json") is True


Json = Annotated[
    bool,
    typer.Option("--json", help="Print JSON, for programs: --output json.", callback=_or_at_root),
]


def examples(*lines: str) -> str:
    """Return the epilog of a help text: commands to copy, one a line."""
    return "\n".join(["\b", "Examples:", *(f"  {line}" for line in lines)])
