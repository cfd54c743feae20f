"""The parts of the command `towonel`, each imported when somebody wants it.

All together they take most of a second to import, which `--help`, a mistake or the Tab key should
not wait for.
"""

import importlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, override

import typer
from typer.core import TyperCommand, TyperGroup

type Command = TyperCommand | TyperGroup


@dataclass(frozen=True, slots=True)
class CommandSpec:
    """Where a command is.

    Args:
        module: below `towonel.cli`.
        about: the line about it in the list of commands; of a group also its help.
        group: the typer of a group in that module; without one, the command is in `root`.
        plural: its other name, for a group.
    """

    module: str
    about: str
    group: str | None = None
    plural: str | None = None


def _group(module: str, plural: str | None, about: str, group: str = "app") -> CommandSpec:
    return CommandSpec(module, about, group, plural)


COMMANDS = {
    "status": CommandSpec("commands.status", "Tell whether the hub answers, and what is live."),
    "serve": CommandSpec("commands.serve", "Run a hub and an edge until a signal ends them."),
    "hub": CommandSpec(
        "commands.hub", "Backup, restore, migrate or check the hub of this machine."
    ),
    "demo": CommandSpec("demo.command", "Show the whole path of a tunnel on this computer."),
    "invite": _group("commands.invite.edit", "invites", "Invites let a tenant publish hostnames."),
    "edge-invite": _group(
        "commands.edge_invite", "edge-invites", "Edge invites let another edge in."
    ),
    "tenant": _group(
        "commands.tenant.key", "tenants", "Tenants publish services; each is one key."
    ),
    "service": _group(
        "commands.services", "services", "Services are what groups of agents publish.", "services"
    ),
    "route": _group(
        "commands.services", "routes", "Routes are public names and ports, and whose.", "routes"
    ),
    "agent": _group("commands.agent.key", "agents", "Agents serve what their tenant publishes."),
    "edge": _group("commands.edge", "edges", "Edges are the public machines that take clients."),
    "port": _group("commands.port", "ports", "Ports are kept for a tenant, published or not."),
    "key": _group("commands.key", "keys", "API keys let people and programs ask the hub."),
    "entry": _group(
        "commands.entry", "entries", "Entries are a tenant's signed changes, one by one."
    ),
    "audit": _group("commands.audit", None, "The audit log has every write: who, what, when."),
    "profile": _group("commands.login", "profiles", "Profiles are the logins that are kept."),
    "login": CommandSpec("commands.login", "Check a key at its hub, and keep both."),
    "logout": CommandSpec("commands.login", "Forget a login."),
    "whoami": CommandSpec(
        "commands.login", "Tell whom the hub takes you for, and what you may do."
    ),
}
_PLURALS = {part.plural: name for name, part in COMMANDS.items() if part.plural is not None}


class Commands(Mapping[str, Command]):
    """All parts by name; looking one up imports it. Plurals are hidden: both are right."""

    @override
    def __getitem__(self, name: str) -> Command:
        singular = _PLURALS.get(name, name)
        part = COMMANDS[singular]
        module = importlib.import_module(f"towonel.cli.{part.module}")
        if part.group is None:
            # Typer keeps the type of a command to itself.
            commands: Mapping[str, Any] = typer.main.get_group(module.root).commands
            command: Command = commands[name]
        else:
            command = typer.main.get_group(getattr(module, part.group))
            command.name, command.help, command.hidden = name, part.about, name != singular
        command.short_help = part.about
        return command

    @override
    def __iter__(self) -> Iterator[str]:
        return iter((*COMMANDS, *_PLURALS))

    @override
    def __len__(self) -> int:
        return len(COMMANDS) + len(_PLURALS)


class Root(TyperGroup):
    """The command `towonel`, made of its parts."""

    def __init__(self, **attrs: Any) -> None:
        super().__init__(**attrs | {"commands": Commands()})

    @override
    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """List the parts without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, part.about) for name, part in COMMANDS.items()])
