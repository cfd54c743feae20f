"""`towonel profile`: the logins that are kept."""

from typing import Annotated

import typer

from towonel.cli.command import local_command
from towonel.cli.logins import Profiles
from towonel.cli.output import Output, Rows
from towonel.cli.settings import config_folder

app = typer.Typer()


@local_command(app, "list", "towonel profile list")
def list_all() -> Output:
    """List the logins; keys are not shown."""
    kept = Profiles.read(config_folder())
    rows = [
        ("*" if name == kept.current else "", name, one.hub_url)
        for name, one in sorted(kept.profiles.items())
    ]
    document: dict[str, object] = {
        "current": kept.current,
        "profiles": [{"name": name, "hub_url": url} for _, name, url in rows],
    }
    return Output(document, Rows(("", "NAME", "HUB"), rows, "Nobody is logged in."))


@local_command(app, "use", "towonel profile use work")
def use(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Its name.", show_default=False)],
) -> Output:
    """Choose the login that counts where none is named."""
    kept = Profiles.read(config_folder())
    kept.find(name)
    kept.current = name
    kept.write(config_folder())
    return Output({"current": name}, f"using {name}")
