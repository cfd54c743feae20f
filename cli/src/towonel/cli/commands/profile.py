"""`towonel profile`: saved logins."""

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
    profiles = Profiles.read(config_folder())
    rows = [
        ("*" if name == profiles.current else "", name, one.hub_url)
        for name, one in sorted(profiles.profiles.items())
    ]
    document: dict[str, object] = {
        "current": profiles.current,
        "profiles": [{"name": name, "hub_url": url} for _, name, url in rows],
    }
    return Output(document, Rows(("", "NAME", "HUB"), rows, "Nobody is logged in."))


@local_command(app, "use", "towonel profile use work")
def use(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Its name.", show_default=False)],
) -> Output:
    """Choose the login that commands use without --profile."""
    profiles = Profiles.read(config_folder())
    profiles.find(name)
    profiles.current = name
    profiles.write(config_folder())
    return Output({"current": name}, f"using {name}")
