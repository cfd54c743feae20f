"""`towonel hub`: runs the hub's own program, which maintains its database."""

import importlib.util
import os
import sys

import typer

from towonel.cli.settings import child_environment
from towonel.runtime.exit_codes import EXIT_FAILED

MODULE = "towonel.hub"


app = typer.Typer()


@app.command(
    context_settings={
        "allow_extra_args": True,
        "ignore_unknown_options": True,
        "help_option_names": [],  # its own program has the better help
    },
    add_help_option=False,
)
def hub(context: typer.Context) -> None:
    """Look after the database of the hub on this machine: backup, restore, migrate, check.

    Without a command it runs the hub alone. `towonel hub --help` tells more.
    """
    if importlib.util.find_spec(MODULE) is None:
        typer.echo("towonel: the hub is not installed here: pip install towonel-hub", err=True)
        raise typer.Exit(EXIT_FAILED)
    command = [sys.executable, "-P", "-m", MODULE, *context.args]  # -P: nothing from this folder
    os.execve(sys.executable, command, child_environment())  # noqa: S606 our own program
