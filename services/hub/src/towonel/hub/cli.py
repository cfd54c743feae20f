"""`towonel-hub`: run the hub, or look after its database."""

import contextlib
import json
import sys
from collections.abc import Generator, Mapping
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from sqlalchemy.exc import SQLAlchemyError

from towonel.hub.app import serve
from towonel.hub.backup import backup
from towonel.hub.backup.check import problems
from towonel.hub.key_files import check_key_files, key_files, write_key_files
from towonel.hub.metrics import VERSION
from towonel.hub.redaction import SECRET_MARKS
from towonel.hub.settings import HubSettings
from towonel.hub.store.db.database import Database
from towonel.runtime import lifecycle, logs
from towonel.runtime.exit_codes import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_SETTINGS
from towonel.runtime.secretfile import SecretFileError
from towonel.runtime.settings import SettingsError, load
from towonel.wire.errors import TowonelError

app = typer.Typer(
    name="towonel hub",
    help="Run the hub, or look after its database. Without a command: run it.",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
Json = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
PassphraseFile = Annotated[
    Path | None,
    typer.Option(
        "--passphrase-file",
        metavar="FILE",
        help="Where the passphrase for the keys is; - reads standard input.",
        allow_dash=True,
    ),
]
BackupFile = Annotated[Path, typer.Argument(metavar="FILE", help="The backup.")]


@app.callback(invoke_without_command=True)
def run(context: typer.Context) -> None:
    """Run until a signal, and exit with the lifecycle's code."""
    if context.invoked_subcommand is None:
        sys.exit(lifecycle.main(HubSettings, _prepared))


@app.command("backup")
def write_backup(
    file: BackupFile,
    with_keys: Annotated[
        bool, typer.Option("--with-keys", help="Add the hub's keys, under a passphrase.")
    ] = False,
    passphrase_file: PassphraseFile = None,
    as_json: Json = False,
) -> None:
    """Write a consistent backup; the hub may run meanwhile."""
    with _reported():
        settings = load(HubSettings)
        now = datetime.now(UTC)  # noqa: TID251 a command is where time comes from
        counts = backup.write(
            settings.database,
            file,
            created_at=now.isoformat(timespec="seconds"),
            hub_version=VERSION,
            keys=key_files(settings) if with_keys else None,
            passphrase=_passphrase(passphrase_file, confirm=True) if with_keys else "",
        )
        _told(f"wrote {file}", counts, as_json=as_json)


@app.command()
def restore(
    file: BackupFile,
    with_keys: Annotated[
        bool, typer.Option("--with-keys", help="Write the keys in it, too, where there are none.")
    ] = False,
    passphrase_file: PassphraseFile = None,
    as_json: Json = False,
) -> None:
    """Fill a new database from a backup, of SQLite or Postgres, wherever it comes from."""
    with _reported():
        settings = load(HubSettings)
        keys = (
            backup.read_keys(file, _passphrase(passphrase_file, confirm=False)) if with_keys else {}
        )
        check_key_files(settings, keys)
        counts = backup.restore(settings.database, file)
        write_key_files(settings, keys)
        _told(f"restored {file}", counts, as_json=as_json)


@app.command()
def migrate(
    source: Annotated[
        Path,
        typer.Option("--from", metavar="FILE", help="The SQLite database; stop its hub first."),
    ],
    as_json: Json = False,
) -> None:
    """Copy a SQLite database into the one that the settings name, such as a Postgres."""
    with _reported():
        settings = load(HubSettings)
        if not source.is_file():
            raise SettingsError([f"--from: {source} is no file"])
        old, new = Database.in_file(source), settings.database
        if old == new:
            where = "TOWONEL_HUB_DB_DSN: names the database that --from does"
            raise SettingsError(
                [f"{where}; for a Postgres set TOWONEL_HUB_DB_DRIVER=postgres, too"]
            )
        counts = backup.copy_database(old, new)
        _told(f"copied {source} to {new}", counts, as_json=as_json)


@app.command()
def check(as_json: Json = False) -> None:
    """Check what must hold in the database; exit 1 and say what does not."""
    with _reported():
        database = load(HubSettings).database
        found = problems(database)
        if as_json:
            typer.echo(json.dumps({"ok": not found, "problems": found}))
        else:
            typer.echo("\n".join(found) or f"{database}: all is well")
        if found:
            raise typer.Exit(EXIT_FAILED)


def _prepared(settings: HubSettings) -> tuple[lifecycle.Serve, float]:
    logs.configure(settings.log_level, settings.log_format, "hub", redact=SECRET_MARKS)
    return partial(serve, settings), settings.drain_timeout_secs + 10


@contextlib.contextmanager
def _reported() -> Generator[None]:
    """Turn what goes wrong into a line and an exit code."""
    try:
        yield
    except (KeyboardInterrupt, typer.Abort):  # Ctrl-C, also at the prompt
        raise typer.Exit(EXIT_INTERRUPTED) from None
    except SettingsError as error:
        _fail(error.problems, EXIT_SETTINGS)
    except (TowonelError, SecretFileError) as error:
        _fail([str(error)], EXIT_FAILED)
    except SQLAlchemyError as error:
        cause = getattr(error, "orig", None) or error
        _fail([f"database: {str(cause).splitlines()[0]}"], EXIT_FAILED)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        _fail([f"{where}{error.strerror or error}"], EXIT_FAILED)


def _fail(problems: list[str], code: int) -> None:
    for problem in problems:
        typer.echo(f"towonel: {problem}", err=True)
    raise typer.Exit(code)


def _passphrase(file: Path | None, *, confirm: bool) -> str:
    if file is None:
        if sys.stdin is None or not sys.stdin.isatty():
            raise SettingsError(["--passphrase-file: needed where there is no terminal to ask at"])
        return str(typer.prompt("Passphrase", hide_input=True, confirmation_prompt=confirm))
    secret = sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
    if not secret.strip():
        raise SettingsError(["--passphrase-file: is empty"])
    return secret.strip().decode(errors="surrogateescape")


def _told(what: str, counts: Mapping[str, int], *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps({"rows": dict(counts)}))
    else:
        typer.echo(f"{what}: {sum(counts.values())} rows in {len(counts)} tables")
