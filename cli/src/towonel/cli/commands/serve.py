"""`towonel serve`: the hub and the edge of one box, as two processes."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Annotated

import typer

from towonel.cli.errors import report_errors, warn
from towonel.cli.options.choices import Format
from towonel.cli.options.flags import Json, examples
from towonel.cli.output import Output, print_output
from towonel.cli.serving.health import is_hub_wanted
from towonel.cli.serving.listeners import ask_health, check_addresses, find_clashes
from towonel.cli.settings import ServeSettings, child_environment
from towonel.cli.subprocesses import Program, collect_errors
from towonel.cli.supervisor import Timing, supervise
from towonel.runtime import logs
from towonel.runtime.addresses import WILDCARDS, loopback_url
from towonel.runtime.exit_codes import EXIT_FAILED, EXIT_SETTINGS
from towonel.runtime.legacy.foreign_database import describe_foreign_file
from towonel.runtime.settings import SettingsError, load_partly
from towonel.wire.hub_urls import find_public_name, is_loopback

_HUB_URL = "TOWONEL_EDGE_HUB_URL"
_RESERVED = "TOWONEL_HUB_RESERVED_HOSTNAMES"
# Each of these tells the edge its hub.
_HUB_VARIABLES = (_HUB_URL, "TOWONEL_EDGE_HUB_URLS", "TOWONEL_EDGE_INVITE_TOKEN")


Check = Annotated[
    bool,
    typer.Option(
        "--check", help="Read the settings, say what is wrong with them, and exit: 0, or 78."
    ),
]
Health = Annotated[
    bool,
    typer.Option(
        "--health", help="Ask the programs that run here whether they are ready, and exit: 0, or 1."
    ),
]
app = typer.Typer()


@app.command(
    epilog=examples(
        "TOWONEL_DATA_DIR=/var/lib/towonel TOWONEL_HUB_PUBLIC_URL=https://hub.example.eu:8443"
        " towonel serve",
        "TOWONEL_DATA_DIR=/var/lib/towonel towonel serve --check     # only read the settings",
        "TOWONEL_HUB_ENABLED=false TOWONEL_EDGE_INVITE_TOKEN_FILE=token.txt towonel serve"
        "     # only an edge",
    )
)
def serve(check: Check = False, health: Health = False, as_json: Json = False) -> None:
    """Run a hub and an edge until a signal ends them; one that ends by itself is started again.

    TOWONEL_HUB_ENABLED=false or TOWONEL_EDGE_ENABLED=false leaves one out. The log of both is on
    standard error; --json makes it JSON even on a terminal. A first SIGTERM or Ctrl-C drains, a second
    ends at once. Wrong settings of either end both with 78, before any file is made. Else the exit code is that of
    the first that failed to drain, or was down.
    """
    with report_errors(as_json=as_json):
        environ = child_environment()
        if as_json:
            environ["TOWONEL_LOG_FORMAT"] = "json"
        settings, programs, problems = _read_settings(environ)
        if check:
            asyncio.run(report_check(programs, problems, as_json=as_json))
            return
        if health:
            report_health(programs, problems, as_json=as_json)
            return
        asyncio.run(check_programs(programs, problems))
        check_addresses(programs)
        logs.configure(settings.log_level, "json" if as_json else settings.log_format, "serve")
    raise typer.Exit(asyncio.run(supervise(programs, Timing(settings.edge_drain_s))))


def _read_settings(
    environ: Mapping[str, str],
) -> tuple[ServeSettings, list[Program], list[str]]:
    """Return the settings, the programs to run, and what is wrong with the settings of `serve` itself."""
    settings, problems = load_partly(ServeSettings)
    try:
        programs = programs_for(settings, environ)
    except SettingsError as error:
        raise SettingsError(problems + error.problems) from None
    problems += find_clashes(programs)
    # The hub's database must not be another program's, before an edge makes files beside it.
    if any(one.name == "hub" for one in programs) and not environ.get("TOWONEL_HUB_DB_DSN"):
        path = settings.data_dir / "hub.db"
        if (whose := describe_foreign_file(path)) is not None:
            problems.append(f"TOWONEL_DATA_DIR: {path} {whose}")
    return settings, programs, problems


def programs_for(settings: ServeSettings, environ: Mapping[str, str]) -> list[Program]:
    """Return the programs to run.

    Raises:
        SettingsError: neither is enabled.
    """
    programs: list[Program] = []
    has_hub = is_hub_wanted(environ, settings.hub_enabled, with_edge=settings.edge_enabled)
    if has_hub:
        programs.append(Program("hub", "towonel.hub", _hub_environment(settings, environ)))
    if settings.edge_enabled:
        programs.append(
            Program("edge", "towonel.edge", _edge_environment(settings, environ, has_hub=has_hub))
        )
    if not programs:
        raise SettingsError(
            ["TOWONEL_HUB_ENABLED and TOWONEL_EDGE_ENABLED are both false: nothing to run"]
        )
    return programs


def report_health(programs: Sequence[Program], problems: Sequence[str], *, as_json: bool) -> None:
    """Ask the programs whether they are ready, and print which are not.

    Raises:
        SettingsError: with the problems.
        Exit: one is not ready.
    """
    _raise_mistakes(problems)
    unready = ask_health(programs)
    output = Output({"ok": not unready, "problems": unready}, "\n".join(unready) or "ready")
    print_output(output, Format.JSON if as_json else Format.TABLE)
    if unready:
        raise typer.Exit(EXIT_FAILED)


async def report_check(
    programs: Sequence[Program], problems: Sequence[str], *, as_json: bool
) -> None:
    """Let programs check their settings, and print that they are valid, with what is worth a word.

    Raises:
        SettingsError: with the mistakes of all, and the problems there were before.
    """
    checked = await _run_checks(programs)
    _raise_mistakes(problems, *(errors for code, errors in checked if code))
    lines = [line.removeprefix("warning: ") for _, errors in checked for line in errors]
    warnings = list(dict.fromkeys(lines))
    if as_json:
        print_output(Output({"ok": True, "warnings": warnings}), Format.JSON)
        return
    for line in warnings:
        warn(f"warning: {line}")
    print_output(Output({}, "the settings are complete and valid"), Format.TABLE)


async def check_programs(programs: Sequence[Program], problems: Sequence[str]) -> None:
    """Let programs check their settings, before one of them makes files and another cannot start.

    Raises:
        SettingsError: with the mistakes of all, and the problems there were before.
    """
    if len(programs) > 1 or problems:  # one checks them itself before it makes anything
        checked = await _run_checks(programs)
        _raise_mistakes(problems, *(errors for code, errors in checked if code == EXIT_SETTINGS))


async def _run_checks(programs: Sequence[Program]) -> list[tuple[int, list[str]]]:
    """Run the check of each program; returns its exit code, and what it says on standard error."""
    checks = [replace(one, arguments=("--check",)) for one in programs]
    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(collect_errors(check)) for check in checks]
    ended = [task.result() for task in running]
    return [(code, errors.splitlines()) for code, errors in ended]


def _raise_mistakes(*found: Sequence[str]) -> None:
    if lines := [line for each in found for line in each]:
        raise SettingsError(list(dict.fromkeys(lines)))


def _hub_environment(settings: ServeSettings, environ: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of the hub, which is to know the name that the edge beside it answers."""
    name, _, _ = settings.self_route.partition("=")
    if not name and not _has_hub_elsewhere(environ):
        name = find_public_name(settings.hub_public_url, settings.edge_listen[1]) or ""
    if not settings.edge_enabled or not name or name == "off":
        return dict(environ)
    reserved = ",".join((*settings.reserved_hostnames, name.strip()))
    others = {each: text for each, text in environ.items() if each != f"{_RESERVED}_FILE"}
    return {**others, _RESERVED: reserved}


def _has_hub_elsewhere(environ: Mapping[str, str]) -> bool:
    """Whether variables tell the edge its hub."""
    named = [environ.get(name) or environ.get(f"{name}_FILE") for name in _HUB_VARIABLES]
    return any(text and text.strip() for text in named)


def _edge_environment(
    settings: ServeSettings, environ: Mapping[str, str], *, has_hub: bool
) -> dict[str, str]:
    if not has_hub or _has_hub_elsewhere(environ):
        return dict(environ)
    host, _ = settings.hub_listen_addr
    variables = {_HUB_URL: loopback_url(settings.hub_listen_addr)}
    if not is_loopback(WILDCARDS.get(host, host)):
        # Another address of this very machine: the traffic does not leave it.
        variables["TOWONEL_ALLOW_INSECURE_HUB"] = "true"
    return {**environ, **variables}
