"""Shell completion: scripts that make a shell ask `towonel` for the next word.

The shell is always named. Typer's own flags guess it from the parent process, which is make, cron or
a container's init as often as it is a shell.
"""

from typing import Annotated

import typer
from typer import completion as typers

from towonel.cli.options.choices import Shell

PROGRAM = "towonel"
_VARIABLE = "_TOWONEL_COMPLETE"  # in which the shell asks
# The first Tab of a shell makes zsh load the script, and run it as the answer.
_ZSH_FIRST_TAB = """

if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
  _towonel_completion "$@"
fi"""

Install = Annotated[
    Shell | None,
    typer.Option("--install-completion", help="Let this shell complete commands and flags."),
]
Show = Annotated[
    Shell | None, typer.Option("--show-completion", help="Print what that flag would install.")
]


def prepare() -> None:
    """Answer shells; typer does so itself only together with its flags."""
    typers.get_completion_inspect_parameters()


def install(shell: Shell) -> None:
    """Write the script into the user's home, and print where."""
    _, path = typers.install(  # type: ignore[attr-defined] # typer lists no exports
        shell=shell, prog_name=PROGRAM, complete_var=_VARIABLE
    )
    path.write_text(_script(shell) + "\n")
    typer.echo(f"{shell} completes `{PROGRAM}` in terminals opened from now on: {path}")


def show(shell: Shell) -> None:
    """Print the script."""
    typer.echo(_script(shell))


def _script(shell: Shell) -> str:
    script: str = typers.get_completion_script(  # type: ignore[attr-defined] # as above
        prog_name=PROGRAM, complete_var=_VARIABLE, shell=shell
    )
    return script + _ZSH_FIRST_TAB if shell == "zsh" else script
