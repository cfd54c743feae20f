"""Listeners of `towonel serve`: the addresses of hub and edge, no two of which may be one."""

from collections.abc import Iterable, Mapping

from pydantic import Field

from towonel.cli.serving.health import find_unready
from towonel.cli.settings import LocalHubSettings
from towonel.cli.subprocesses import Program
from towonel.runtime.addresses import describe_clash
from towonel.runtime.environment.ports import describe_busy
from towonel.runtime.settings import HostPort, SettingsError, load_partly
from towonel.wire.addresses import HEALTH_LISTENERS

_SHARED = "TOWONEL_EDGE_LISTEN_ADDR"  # by the sockets of an edge, and by edges of one machine


class ListenerSettings(LocalHubSettings):
    """TCP addresses of a hub and an edge; the defaults are theirs."""

    hub_health: HostPort = Field(
        default=HEALTH_LISTENERS["hub"][1],
        validation_alias="TOWONEL_HUB_HEALTH_LISTEN_ADDR",
    )
    edge: HostPort = Field(
        default=("0.0.0.0", 443),  # noqa: S104
        validation_alias=_SHARED,
    )
    edge_health: HostPort = Field(
        default=HEALTH_LISTENERS["edge"][1],
        validation_alias="TOWONEL_EDGE_HEALTH_LISTEN_ADDR",
    )


_FIELDS = {"hub": ("hub_listen_addr", "hub_health"), "edge": ("edge", "edge_health")}


def find_clashes(programs: Iterable[Program]) -> list[str]:
    """Return a line for each listener of these programs that has the address of another."""
    found: list[str] = []
    earlier: list[tuple[str, tuple[str, int]]] = []
    for variable, address in _listeners(programs).items():
        clashes = (describe_clash(address, *one) for one in earlier)
        found += [f"{variable}: {clash}" for clash in clashes if clash is not None]
        earlier.append((variable, address))
    return found


def ask_health(programs: Iterable[Program]) -> list[str]:
    """Return a line for each of these programs that runs here, and is not ready, or does not run."""
    settings, problems = load_partly(ListenerSettings)
    if problems:
        raise SettingsError(problems)
    return find_unready((one.name, getattr(settings, _FIELDS[one.name][1])) for one in programs)


def check_addresses(programs: Iterable[Program]) -> None:
    """Check that each address can be listened on, before one program ends another by its mistake.

    Raises:
        SettingsError: with a line for each that cannot.
    """
    found = (
        describe_busy(variable, *address, is_shared=variable == _SHARED)
        for variable, address in _listeners(programs).items()
    )
    if problems := [line for line in found if line is not None]:
        raise SettingsError(problems)


def _listeners(programs: Iterable[Program]) -> Mapping[str, tuple[str, int]]:
    """Return the addresses of these programs that are right, by variable; the others are theirs to name."""
    settings, problems = load_partly(ListenerSettings)
    fields = {
        settings.variable_of(field): field
        for program in programs
        for field in _FIELDS[program.name]
    }
    wrong = {name for name in fields if any(line.startswith(name) for line in problems)}
    return {name: getattr(settings, fields[name]) for name in fields if name not in wrong}
