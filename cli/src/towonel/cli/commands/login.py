"""`towonel login`, `logout` and `whoami`: keep which hub to ask, and with which key."""

import asyncio
import re
from pathlib import Path
from typing import Annotated

import typer
from pydantic import SecretStr

from towonel.api.keys import WhoAmI
from towonel.cli.command import hub_command, local_command
from towonel.cli.errors import UsageError
from towonel.cli.key_files import ask_secret, read_text
from towonel.cli.logins import DEFAULT, NAME, Profile, Profiles
from towonel.cli.output import Fields, Output
from towonel.cli.settings import CommandSettings, check_authorities, config_folder
from towonel.cli.target import explain_denial, parse_key
from towonel.client.operator import OperatorClient
from towonel.client.transport import to_httpx_url
from towonel.runtime.settings import load
from towonel.wire.errors import Denied

app = typer.Typer()
Named = Annotated[
    str | None,
    typer.Option("--profile", metavar="NAME", help="Its name.", show_default=False),
]


@local_command(
    app,
    "login",
    "towonel login https://hub.example.eu",
    "towonel login https://hub.example.eu --profile work --key-file key.txt",
)
def login(
    url: Annotated[str, typer.Argument(metavar="URL", help="The hub.", show_default=False)],
    profile: Annotated[
        str, typer.Option("--profile", metavar="NAME", help="The name to keep it under.")
    ] = DEFAULT,
    key_file: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Where the operator key or API key is; - reads standard input."
            " [default: ask for it]",
            show_default=False,
            allow_dash=True,
        ),
    ] = None,
) -> Output:
    """Check a key at its hub, and keep both for the commands that follow."""
    if not re.fullmatch(NAME, profile):
        raise UsageError("--profile: is 1 to 64 letters, digits, dots, hyphens and underscores")
    insecure = load(CommandSettings).allow_insecure_hub
    try:
        parsed = to_httpx_url(url, allow_insecure=insecure)
    except Denied as error:
        raise UsageError(f"URL: {error.detail}") from error
    check_authorities(parsed.scheme)
    hub_url = str(parsed).rstrip("/")
    key, source = _read_key(key_file)
    # A broken file is reported before a key is sent anywhere.
    profiles = Profiles.read(config_folder())
    hub = OperatorClient(hub_url, operator_key=key.get_secret_value(), allow_insecure=insecure)
    identity = asyncio.run(_ask(hub, source))
    profiles.add(profile, Profile(hub_url=hub_url, key=key))
    profiles.write(config_folder())
    document: dict[str, object] = {"profile": profile, "hub_url": hub_url, **identity.model_dump()}
    return Output(document, f"logged in to {hub_url} as {identity.actor}, role {identity.role}")


@local_command(app, "logout", "towonel logout", "towonel logout --profile work")
def logout(profile: Named = None) -> Output:
    """Forget a login: the current one, or the named."""
    profiles = Profiles.read(config_folder())
    name = profile or profiles.current
    if name is None or profiles.find(name) is None:
        raise UsageError("--profile: nobody is logged in")
    profiles.remove(name)
    profiles.write(config_folder())
    document: dict[str, object] = {"profile": name, "current": profiles.current}
    return Output(document, f"logged out of {name}")


@hub_command(app, "whoami", "towonel whoami", "towonel whoami --profile work --json")
async def whoami(hub: OperatorClient) -> Output:
    """Tell whom the hub takes you for, and what you may do."""
    identity = await hub.keys.whoami()
    fields = [
        ("hub", hub.base_url),
        ("you", identity.actor),
        ("role", identity.role),
        ("tenant", identity.tenant_id.hex() if identity.tenant_id else "all of them"),
    ]
    return Output({"hub_url": hub.base_url, **identity.model_dump()}, Fields(fields))


def _read_key(file: Path | None) -> tuple[SecretStr, str]:
    """Return the key, and what it is from."""
    if file is None:
        text = ask_secret("Key", "--key-file: give a key in a file, or on standard input")
        return parse_key(text, "the key"), "what was typed, or standard input"
    return parse_key(read_text("--key-file", file), "--key-file"), f"--key-file {file}"


async def _ask(client: OperatorClient, key_source: str) -> WhoAmI:
    async with client as hub:
        try:
            return await hub.keys.whoami()
        except Denied as error:
            raise explain_denial(error, key_source) from None
