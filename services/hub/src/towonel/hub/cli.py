"""Command line of the hub: run it, or look after its database."""

import argparse
import asyncio
import gc
import json
import sys
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError

from towonel.hub.backup import backup
from towonel.hub.backup.check import problems
from towonel.hub.key_files import (
    check_key_files,
    find_key_problems,
    key_files,
    write_key_files,
)
from towonel.hub.metrics import VERSION
from towonel.hub.settings import HubSettings
from towonel.hub.store.db.database import Database
from towonel.runtime import lifecycle, logs, secretinput
from towonel.runtime.environment.command_line import (
    UsageError,
    check_settings,
    make_parser,
)
from towonel.runtime.environment.health_check import check_health
from towonel.runtime.exit_codes import (
    EXIT_FAILED,
    EXIT_INTERRUPTED,
    EXIT_OK,
    EXIT_SETTINGS,
    EXIT_USAGE,
)
from towonel.runtime.interrupts import raise_at_interrupt
from towonel.runtime.secretfile import SecretFileError
from towonel.runtime.settings import SettingsError, load, log_warnings
from towonel.runtime.tracing.telemetry import add_trace
from towonel.wire.addresses import HEALTH_LISTENERS
from towonel.wire.errors import TowonelError
from towonel.wire.tokens import SECRET_MARKS

type Command = Callable[[argparse.Namespace], int]


def main() -> int:
    """Run the hub, or one command, and return the exit code."""
    arguments = _parser().parse_args()
    if arguments.check:
        return check_settings(HubSettings, find_key_problems)
    if arguments.health:
        return check_health(*HEALTH_LISTENERS["hub"])
    if arguments.command is None:
        return lifecycle.main(HubSettings, _prepare)
    return _run(arguments.command, arguments)


def write_backup(arguments: argparse.Namespace) -> int:
    """Write a consistent backup; the hub may run meanwhile."""
    settings = load(HubSettings)
    now = datetime.now(UTC)  # noqa: TID251 a command is where time comes from
    with_keys, file = arguments.with_keys, arguments.passphrase_file
    counts = backup.write(
        settings.database,
        arguments.file,
        created_at=now.isoformat(timespec="seconds"),
        hub_version=VERSION,
        keys=key_files(settings) if with_keys else None,
        passphrase=_passphrase(file, confirm=True) if with_keys else "",
    )
    return _report(f"wrote {arguments.file}", counts, as_json=arguments.json)


def restore(arguments: argparse.Namespace) -> int:
    """Fill a new database from a backup, of SQLite or Postgres, wherever it comes from."""
    _check_readable("FILE", arguments.file)
    settings, keys = load(HubSettings), dict[str, bytes]()
    if arguments.with_keys:
        passphrase = _passphrase(arguments.passphrase_file, confirm=False)
        keys = backup.read_keys(arguments.file, passphrase)
    check_key_files(settings, keys)
    counts = backup.restore(settings.database, arguments.file)
    write_key_files(settings, keys)
    return _report(f"restored {arguments.file}", counts, as_json=arguments.json)


def migrate(arguments: argparse.Namespace) -> int:
    """Copy a SQLite database into the one that the settings name, such as a Postgres."""
    settings, source = load(HubSettings), arguments.source
    if not source.is_file():
        raise UsageError(f"--from: {source} is no file")
    old, new = Database.in_file(source), settings.database
    if old == new:
        where = "TOWONEL_HUB_DB_DSN: names the database that --from does"
        raise SettingsError([f"{where}; for a Postgres set TOWONEL_HUB_DB_DRIVER=postgres, too"])
    counts = backup.copy_database(old, new)
    return _report(f"copied {source} to {new}", counts, as_json=arguments.json)


def check(arguments: argparse.Namespace) -> int:
    """Check what must hold in the database; exit 1 and say what does not."""
    database = load(HubSettings).database
    violations = problems(database)
    if arguments.json:
        _print(json.dumps({"ok": not violations, "problems": violations}))
    else:
        _print("\n".join(violations) or f"{database}: all is well")
    return EXIT_FAILED if violations else EXIT_OK


def _parser() -> argparse.ArgumentParser:
    about = "Run the hub, or look after its database. Without a command: run it."
    parser = make_parser("towonel-hub", about, VERSION)
    parser.set_defaults(command=None)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")

    def add(name: str, command: Command) -> argparse.ArgumentParser:
        about = str(command.__doc__)
        added = commands.add_parser(name, help=about, description=about, allow_abbrev=False)
        added.set_defaults(command=command)
        return added

    saving, filling = add("backup", write_backup), add("restore", restore)
    _add_archive(saving, keys_help="Add the hub's keys, under a passphrase.")
    _add_archive(filling, keys_help="Write the keys in it, too, where there are none.")
    copying, checking = add("migrate", migrate), add("check", check)
    source_help = "The SQLite database; stop its hub first. Required."
    copying.add_argument(
        "--from", dest="source", type=Path, required=True, metavar="FILE", help=source_help
    )
    for each in (saving, filling, copying, checking):
        each.add_argument("--json", action="store_true", help="Print JSON, for programs.")
    return parser


def _add_archive(parser: argparse.ArgumentParser, *, keys_help: str) -> None:
    parser.add_argument("file", type=Path, metavar="FILE", help="The backup.")
    parser.add_argument("--with-keys", action="store_true", help=keys_help)
    parser.add_argument(
        "--passphrase-file",
        type=Path,
        metavar="FILE",
        help="Where the passphrase for the keys is; - reads standard input.",
    )


def _prepare(settings: HubSettings) -> tuple[lifecycle.Serve, float]:
    logs.configure(
        *(settings.log_level, settings.log_format, "hub"),
        redact=SECRET_MARKS,
        processors=(add_trace,),
    )
    log_warnings(settings)
    return partial(_import_serve(), settings), settings.drain_timeout_secs


def _import_serve() -> Callable[[HubSettings, asyncio.Event], Awaitable[None]]:
    """Import what only a running hub needs, in which nothing looks for garbage."""
    gc.disable()
    from towonel.hub.app import serve  # noqa: PLC0415 a command needs none of it

    gc.freeze()
    gc.enable()
    return serve


def _run(command: Command, arguments: argparse.Namespace) -> int:
    """Turn what goes wrong into a line and an exit code."""
    try:
        raise_at_interrupt()
        return command(arguments)
    except KeyboardInterrupt:  # Ctrl-C, also at the prompt
        return EXIT_INTERRUPTED
    except UsageError as error:
        lines, code = [str(error)], EXIT_USAGE
    except SettingsError as error:
        lines, code = error.problems, EXIT_SETTINGS
    except (TowonelError, SecretFileError, SQLAlchemyError, OSError) as error:
        lines, code = [_explain(error)], EXIT_FAILED
    for line in lines:
        print(f"towonel: {line}", file=sys.stderr)  # noqa: T201 a command line prints
    return code


def _explain(error: Exception) -> str:
    if isinstance(error, SQLAlchemyError):
        cause = getattr(error, "orig", None) or error
        return f"database: {str(cause).splitlines()[0]}"
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        return f"{where}{error.strerror or error}"
    return str(error)


def _check_readable(flag: str, file: Path) -> None:
    try:
        file.open("rb").close()
    except OSError as error:
        raise UsageError(f"{flag}: {file}: cannot be read: {error.strerror}") from error


def _passphrase(file: Path | None, *, confirm: bool) -> str:
    if file is None:
        if sys.stdin is None or not sys.stdin.isatty():
            raise UsageError("--passphrase-file: needed where there is no terminal to ask at")
        return secretinput.ask("Passphrase", confirm=confirm)
    try:
        secret = secretinput.read(file).strip()
    except OSError as error:
        detail = f"{file}: cannot be read: {error.strerror}"
        raise UsageError(f"--passphrase-file: {detail}") from error
    except ValueError as error:
        raise UsageError(f"--passphrase-file: {error}") from error
    if not secret:
        raise UsageError("--passphrase-file: is empty")
    return secret.decode(errors="surrogateescape")


def _report(what: str, counts: Mapping[str, int], *, as_json: bool) -> int:
    if as_json:
        _print(json.dumps({"rows": dict(counts)}))
    else:
        _print(f"{what}: {sum(counts.values())} rows in {len(counts)} tables")
    return EXIT_OK


def _print(text: str) -> None:
    print(text, flush=True)  # noqa: T201 a command line prints
