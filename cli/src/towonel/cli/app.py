"""The command `towonel`: its parts, and what happens without any."""

import json
from typing import Annotated

import typer

from towonel.cli import completion
from towonel.cli.options.flags import Json, examples
from towonel.cli.registry import Root

EXIT_CODES = """\b
Exit codes:
  0    done
  1    refused, or failed
  2    the command line is wrong
  75   the hub does not answer now, or has limited your rate
  78   the configuration is wrong
  130  ended by Ctrl-C

"""

app = typer.Typer(
    name="towonel",
    cls=Root,
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
completion.prepare()


@app.callback(invoke_without_command=True)
def without_command(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", "-V", help="Print the version.")] = False,
    install_completion: completion.Install = None,
    show_completion: completion.Show = None,
    as_json: Json = False,
) -> None:
    """Run `serve` when no command is given, as the original does."""
    if version:
        from importlib.metadata import version as version_of  # noqa: PLC0415 seldom asked

        number = version_of("towonel-cli")
        typer.echo(json.dumps({"version": number}) if as_json else number)
    elif show_completion is not None:
        completion.show(show_completion)
    elif install_completion is not None:
        completion.install(install_completion)
    elif context.invoked_subcommand is None:
        from towonel.cli.commands.serve import serve  # noqa: PLC0415 only it needs as much

        serve(as_json=as_json)
    else:
        return
    raise typer.Exit
