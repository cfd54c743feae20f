"""Processes of the hub that tests start by the dozen: forked from one that has imported it all."""

import multiprocessing
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.context import ForkServerContext
from multiprocessing.process import BaseProcess
from pathlib import Path

from sqlalchemy import text

from towonel.hub.__main__ import main
from towonel.hub.store.db.database import Database
from towonel.hub.store.db.migrate import upgrade
from towonel.hub.store.db.offline import reading


def fork_server() -> ForkServerContext:
    """Where children come from; none of them shares a thread or a socket with the tests."""
    context = multiprocessing.get_context("forkserver")
    # Not this module: Python 3.13.0 looks for what it preloads without pytest's own paths.
    context.set_forkserver_preload(["pytest", "towonel.hub.cli"])
    return context


def start_hub(environ: Mapping[str, str]) -> BaseProcess:
    """A hub as its command runs it, with this environment."""
    child = fork_server().Process(target=_run, args=(dict(environ),), daemon=True)
    child.start()
    return child


@dataclass(frozen=True)
class Ended:
    """What a command left: its exit code and what it said."""

    code: int | None
    said: str
    complained: str


def run_command(
    environ: Mapping[str, str], *arguments: str, folder: Path, user: int | None = None
) -> Ended:
    """Run `towonel-hub` with these arguments to its end, as somebody else where that is asked."""
    said, complained = folder / "stdout", folder / "stderr"
    work = (dict(environ), arguments, (str(said), str(complained)), user)
    child = fork_server().Process(target=_run, args=work, daemon=True)
    child.start()
    child.join(timeout=40)
    child.kill()
    return Ended(child.exitcode, said.read_text(), complained.read_text())


def _run(
    environ: Mapping[str, str],
    arguments: Sequence[str] = (),
    outputs: Sequence[str] = (),
    user: int | None = None,
) -> None:
    for descriptor, path in enumerate(outputs, 1):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), descriptor)
    os.environ.clear()
    os.environ.update(environ)
    sys.argv = ["towonel-hub", *arguments]
    if user is not None:
        os.setuid(user)
    main()


def boot(url: str) -> str:
    """What a hub does first, and the schema that it finds then."""
    database = Database.parse(url) if "@" in url else Database.parse_file(url)
    upgrade(database)
    with reading(database) as connection:
        return str(connection.scalar(text("SELECT version_num FROM alembic_version")))


def url_of(database: Database) -> str:
    """What `boot` takes: the address with its password, or the path."""
    return str(database.path or database.url.render_as_string(hide_password=False))
