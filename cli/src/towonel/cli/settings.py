"""Settings of the `towonel` command, and the environment of the programs that it starts."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import typer
from pydantic import Field, SecretStr

from towonel.runtime.environment.certificates import find_certificate_problem
from towonel.runtime.environment.folders import Folder
from towonel.runtime.settings import CsvList, HostPort, Settings, SettingsError
from towonel.wire.legacy.variables import REPLACED_VARIABLES
from towonel.wire.variables import VARIABLES

_OURS = "TOWONEL_"
_FOR_THE_COMMAND_ONLY = frozenset(
    {
        "TOWONEL_HUB_URL",
        "TOWONEL_OPERATOR_KEY",
        "TOWONEL_OPERATOR_KEY_FILE",
        "TOWONEL_PROFILE",
        "TOWONEL_HUB_ENABLED",
        "TOWONEL_EDGE_ENABLED",
    }
)


class _Settings(Settings):
    """Settings of a command, which knows the variables of all programs."""

    prefixes: ClassVar[tuple[str, ...]] = (_OURS,)
    foreign: ClassVar[frozenset[str]] = VARIABLES
    replaced: ClassVar[Mapping[str, str]] = REPLACED_VARIABLES


class LocalHubSettings(_Settings):
    """Address of the hub of this machine."""

    hub_listen_addr: HostPort = Field(
        default=("0.0.0.0", 8443),  # noqa: S104 the hub's own default, to find its port
        validation_alias="TOWONEL_HUB_LISTEN_ADDR",
        description="Where the hub of this machine listens.",
    )


class CommandSettings(LocalHubSettings):
    """Hub and key of a command; not needed on the machine of the hub."""

    hub_url: str | None = Field(
        default=None,
        validation_alias="TOWONEL_HUB_URL",
        description="The hub that commands talk to; by default the one on this machine.",
    )
    operator_key: SecretStr | None = Field(
        default=None,
        validation_alias="TOWONEL_OPERATOR_KEY",
        description="The key of the hub's operator; by default read from the hub's key file.",
    )
    profile: str | None = Field(
        default=None,
        validation_alias="TOWONEL_PROFILE",
        description="Which login of `towonel login` commands use; by default the current one.",
    )
    operator_key_path: Path | None = Field(
        default=None,
        validation_alias="TOWONEL_HUB_OPERATOR_API_KEY_PATH",
        description="The hub's file with the operator key.",
    )
    data_dir: Path | None = Field(
        default=None,
        validation_alias="TOWONEL_DATA_DIR",
        description="The hub's folder; operator.key in it is the default key file.",
    )
    allow_insecure_hub: bool = Field(
        default=False,
        validation_alias="TOWONEL_ALLOW_INSECURE_HUB",
        description="Accept http:// for a hub on another machine.",
    )


class TokenSettings(_Settings):
    """Invite token, to take the key out of it."""

    invite_token: SecretStr | None = Field(
        default=None,
        validation_alias="TOWONEL_INVITE_TOKEN",
        description="The token of an agent's environment, tt_inv_2_…",
    )


class ServeSettings(LocalHubSettings):
    """Programs that `towonel serve` starts, and how they find each other."""

    hub_enabled: bool | None = Field(
        default=None,
        validation_alias="TOWONEL_HUB_ENABLED",
        description="Whether `towonel serve` starts a hub. Default: true, but not where"
        " TOWONEL_EDGE_INVITE_TOKEN is set and no variable of the hub.",
    )
    edge_enabled: bool = Field(
        default=True,
        validation_alias="TOWONEL_EDGE_ENABLED",
        description="Whether `towonel serve` starts an edge.",
    )
    data_dir: Folder = Field(
        default=Path(),
        validation_alias="TOWONEL_DATA_DIR",
        description="The folder of hub and edge. Must be set where an edge without a token is started.",
    )
    hub_public_url: str = Field(
        default="",
        validation_alias="TOWONEL_HUB_PUBLIC_URL",
        description="The hub's address for agents and edges.",
    )
    edge_listen: HostPort = Field(
        default=("0.0.0.0", 443),  # noqa: S104 the edge's own default
        validation_alias="TOWONEL_EDGE_LISTEN_ADDR",
        description="Where the edge listens.",
    )
    self_route: str = Field(
        default="",
        validation_alias="TOWONEL_EDGE_SELF_ROUTE",
        description="The hub's own name, which the edge answers; `off` for none.",
    )
    reserved_hostnames: CsvList = Field(
        default=(),
        validation_alias="TOWONEL_HUB_RESERVED_HOSTNAMES",
        description="Names that no tenant can publish; the edge's own is added.",
    )
    edge_hub_url: str | None = Field(
        default=None,
        validation_alias="TOWONEL_EDGE_HUB_URL",
        description="The edge's hub; by default the one started with it.",
    )
    edge_drain_s: float = Field(
        default=25.0,
        gt=0,
        le=3600,
        validation_alias="TOWONEL_EDGE_DRAIN_TIMEOUT_SECS",
        description="How long the edge may drain; what is left after it is ended.",
    )


def config_folder() -> Path:
    """Return the folder of a user's own configuration."""
    found = Path(typer.get_app_dir("towonel"))
    # The standard says that an empty or relative XDG_CONFIG_HOME is none.
    return found if found.is_absolute() else Path.home() / ".config" / "towonel"


def is_bold_wanted() -> bool | None:
    """Return whether text may be bold; None leaves it to whether there is a terminal."""
    if os.environ.get("NO_COLOR") or is_dumb_terminal():
        return False
    return True if os.environ.get("FORCE_COLOR") else None


def is_dumb_terminal() -> bool:
    """Return whether the terminal knows no codes: none for bold, none that clears it."""
    return os.environ.get("TERM") in {"dumb", "unknown"}


def check_authorities(scheme: str) -> None:
    """Check the file of authorities that the environment names, for a hub of the scheme `https`.

    It takes 20 ms to read, which no other hub is worth.

    Raises:
        SettingsError: saying what is wrong with it.
    """
    if scheme != "https":
        return
    problem = find_certificate_problem(os.environ)
    if problem is not None:
        raise SettingsError([problem])


def child_environment() -> dict[str, str]:
    """Return the environment of a hub and an edge: ours, without variables of the command itself."""
    return {name: value for name, value in os.environ.items() if name not in _FOR_THE_COMMAND_ONLY}


def foreign_environment() -> dict[str, str]:
    """Return the environment without any TOWONEL_ variable."""
    return {name: value for name, value in os.environ.items() if not name.startswith(_OURS)}
