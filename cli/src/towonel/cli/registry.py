"""Registry of the commands of `towonel`: the modules of each, imported when it is looked up.

All together they take most of a second to import, which `--help`, a mistake or the Tab key should
not wait for.
"""

import importlib
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any, override

import typer
from typer._click.exceptions import ClickException  # the base of all usage errors, not exported
from typer.core import TyperCommand, TyperGroup

HELP = "help"
_DOCUMENT = re.compile(r"(?:^| )(?:--json|(?:--output[ =]|-o[ =]?)(?:json|yaml))(?: |$)")

type Command = TyperCommand | TyperGroup


@dataclass(frozen=True, slots=True)
class CommandSpec:
    """Location of a command, or of a group of commands.

    Args:
        about: the line about it in the list of commands; of a group also its help.
        modules: below `towonel.cli`; each has a typer `app` with its own commands.
        is_group: whether those are commands below this one.
        plural: other name of a group.
    """

    about: str
    modules: tuple[str, ...]
    is_group: bool = False
    plural: str | None = None


def _command(about: str, module: str) -> CommandSpec:
    return CommandSpec(about, (module,))


def _group(about: str, *modules: str, plural: str | None) -> CommandSpec:
    return CommandSpec(about, modules, is_group=True, plural=plural)


COMMANDS = {
    "status": _command("Tell whether the hub answers, and what is live.", "commands.status"),
    "serve": _command("Run a hub and an edge until a signal ends them.", "commands.serve"),
    "hub": _command("Backup, restore, migrate or check the hub of this machine.", "commands.hub"),
    "demo": _command("Show the whole path of a tunnel on this computer.", "demo.run"),
    "invite": _group(
        "Invites let a tenant publish hostnames.",
        "commands.invite.create",
        "commands.invite.list",
        "commands.invite.revoke",
        "commands.invite.edit",
        plural="invites",
    ),
    "edge-invite": _group(
        "Edge invites let another edge register.", "commands.edge_invite", plural="edge-invites"
    ),
    "tenant": _group(
        "Tenants publish services; each is one key.",
        "commands.tenant.list",
        "commands.tenant.edit",
        "commands.tenant.lifecycle",
        "commands.tenant.key",
        "commands.tenant.leave",
        plural="tenants",
    ),
    "service": _group(
        "Services are what groups of agents publish.", "commands.service", plural="services"
    ),
    "route": _group(
        "Routes are public names and ports, and whose.", "commands.route", plural="routes"
    ),
    "agent": _group(
        "Agents serve what their tenant publishes.",
        "commands.agent.list",
        "commands.agent.init",
        plural="agents",
    ),
    "edge": _group(
        "Edges are the public machines that take clients.", "commands.edge", plural="edges"
    ),
    "certificate": _group(
        "Certificates are of names whose TLS ends at edges.",
        "commands.certificate",
        plural="certificates",
    ),
    "port": _group(
        "Ports are kept for a tenant, published or not.", "commands.port", plural="ports"
    ),
    "key": _group("API keys let people and programs ask the hub.", "commands.key", plural="keys"),
    "entry": _group(
        "Entries are a tenant's signed changes, one by one.", "commands.entry", plural="entries"
    ),
    "audit": _group(
        "The audit log has every write: who, what, when.", "commands.audit", plural=None
    ),
    "profile": _group(
        "Profiles are the logins that are kept.", "commands.profile", plural="profiles"
    ),
    "login": _command("Check a key at its hub, and keep both.", "commands.login"),
    "logout": _command("Forget a login.", "commands.login"),
    "whoami": _command("Tell whom the hub takes you for, and what you may do.", "commands.login"),
}
_SINGULARS = {spec.plural: name for name, spec in COMMANDS.items() if spec.plural is not None}


class Commands(Mapping[str, Command]):
    """Commands by name; looking one up imports its modules. Plurals are hidden: both are right."""

    @override
    def __getitem__(self, name: str) -> Command:
        singular = _SINGULARS.get(name, name)
        spec = COMMANDS[singular]
        group = typer.main.get_group(_merge(spec.modules))
        command: Any = group if spec.is_group else group.commands[name]
        if spec.is_group:
            command.name, command.help, command.hidden = name, spec.about, name != singular
        command.short_help = spec.about
        return command  # type: ignore[no-any-return] # typer keeps the type of a command to itself

    @override
    def __iter__(self) -> Iterator[str]:
        return iter((*COMMANDS, *_SINGULARS))

    @override
    def __len__(self) -> int:
        return len(COMMANDS) + len(_SINGULARS)


class Root(TyperGroup):
    """The command `towonel`, which has the commands of the registry."""

    def __init__(self, **attrs: Any) -> None:
        attrs["commands"] = Commands()
        super().__init__(**attrs)

    @override
    def main(self, args: Sequence[str] | None = None, *rest: Any, **options: Any) -> Any:
        """Run a line: `help COMMAND` is `COMMAND --help`; mistakes are JSON where that is wanted."""
        words = sys.argv[1:] if args is None else list(args)
        if words[:1] == [HELP]:
            words = [*(word for word in words[1:] if word != HELP), "--help"]
        if not asks_for_document(words):
            return super().main(words, *rest, **options)
        try:
            code = super().main(words, *rest, **options | {"standalone_mode": False})
        except ClickException as error:
            from towonel.cli.errors import report_usage  # noqa: PLC0415 seldom needed, and slow

            code = report_usage(error.format_message())
        sys.exit(code)

    @override
    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except ClickException as error:
            from towonel.cli.mistakes import reword  # noqa: PLC0415 seldom needed, and slow

            reword(error)
            raise

    @override
    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """List the commands without importing them."""
        lines = {name: spec.about for name, spec in COMMANDS.items()}
        lines[HELP] = "Print this, or the help of a command."
        with formatter.section("Commands"):
            formatter.write_dl([*lines.items()])


def asks_for_document(words: Sequence[str]) -> bool:
    """Tell whether a line asks for JSON or YAML, be it right or wrong otherwise."""
    line = " ".join(takewhile(lambda word: word != "--", words))
    return _DOCUMENT.search(line) is not None


def _merge(modules: tuple[str, ...]) -> typer.Typer:
    """Return one typer with the commands of several modules, in their order."""
    merged = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
    for module in modules:
        app: typer.Typer = importlib.import_module(f"towonel.cli.{module}").app
        merged.registered_commands += app.registered_commands
    return merged
