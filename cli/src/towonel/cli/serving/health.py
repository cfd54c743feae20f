"""Health check of `towonel serve` by environment alone: an engine starts it every few seconds.

It imports neither settings nor the libraries of a command line, which take ten times as long as the check itself.
"""

import os
from collections.abc import Iterable, Mapping

from towonel.runtime.environment.health_check import find_listener, find_unreadiness
from towonel.runtime.environment.text import clean
from towonel.runtime.environment.values import FILE_SUFFIX, normalize
from towonel.runtime.exit_codes import EXIT_FAILED, EXIT_OK
from towonel.wire.addresses import HEALTH_LISTENERS
from towonel.wire.variables import VARIABLES

_SWITCHES = ("TOWONEL_HUB_ENABLED", "TOWONEL_EDGE_ENABLED")
_WORDS = {"": None, "true": True, "false": False}

type Listener = tuple[str, tuple[str, int]]


def check_health() -> int | None:
    """Say which programs are not ready, and return the exit code.

    None where it takes settings to know the programs and their addresses, or to say what is wrong with them.
    """
    environ = normalize(os.environ)  # noqa: TID251 the settings are what it does without
    listeners = _find_listeners(_find_programs(environ))
    if not listeners:
        return None
    unready = find_unready(listeners)
    print("\n".join(unready) or "ready")  # noqa: T201 a command line prints
    return EXIT_FAILED if unready else EXIT_OK


def find_unready(listeners: Iterable[Listener]) -> list[str]:
    """Return a line for each of these programs that runs here, and is not ready, or does not run."""
    found = ((name, find_unreadiness(address)) for name, address in listeners)
    return [f"{name}: {reason}" for name, reason in found if reason is not None]


def is_hub_wanted(environ: Mapping[str, str], enabled: bool | None, *, with_edge: bool) -> bool:
    """Whether `towonel serve` starts a hub: a token alone makes this machine an edge of another."""
    if enabled is not None:
        return enabled
    names = {name.removesuffix(FILE_SUFFIX) for name, value in environ.items() if clean(value)}
    of_a_hub = {name for name in VARIABLES & names if name.startswith("TOWONEL_HUB_")}
    is_edge_of_another = with_edge and "TOWONEL_EDGE_INVITE_TOKEN" in names
    return bool(of_a_hub - {"TOWONEL_HUB_URL"}) or not is_edge_of_another


def _find_programs(environ: Mapping[str, str]) -> list[str]:
    """Return the programs that this environment starts; none where a switch is not as plain as here."""
    texts = [clean(environ.get(name, "")).lower() for name in _SWITCHES]
    if {name + FILE_SUFFIX for name in _SWITCHES} & environ.keys() or not {*texts} <= _WORDS.keys():
        return []
    has_hub, has_edge = (_WORDS[text] for text in texts)
    with_edge = has_edge is not False
    own = {name: text for name, text in environ.items() if name not in _SWITCHES}
    with_hub = is_hub_wanted(own, has_hub, with_edge=with_edge)
    return [name for name, is_wanted in (("hub", with_hub), ("edge", with_edge)) if is_wanted]


def _find_listeners(programs: Iterable[str]) -> list[Listener]:
    """Return where these programs serve their health; nothing where a variable of it is wrong."""
    found = [(name, *find_listener(*HEALTH_LISTENERS[name])) for name in programs]
    return [] if any(problems for *_, problems in found) else [(name, at) for name, at, _ in found]
