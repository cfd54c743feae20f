"""Bring a database to the newest schema, at boot."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import URL, Connection, create_engine, make_url
from sqlalchemy.pool import NullPool

from towonel.hub.store import sqlite

MIGRATIONS = Path(__file__).parent / "migrations"


def upgrade(url: URL | str, revision: str = "head") -> None:
    """Run the migrations that are missing: all or none of them; blocking, so call it in a thread.

    Of several hubs that boot at once, one migrates and the others wait for it.

    Args:
        url: of the database, for a synchronous driver: `sqlite:///path`.
        revision: how far to go.
    """
    _make_private(make_url(url).database)
    engine = create_engine(url, poolclass=NullPool)
    sqlite.prepare(engine)
    try:
        with engine.connect().execution_options(writes=True) as connection, connection.begin():
            command.upgrade(configuration(connection), revision)
    finally:
        engine.dispose()


def _make_private(path: str | None) -> None:
    """Make the database's file for its owner only, before anything is in it."""
    if path:
        Path(path).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        Path(path).touch(mode=0o600)


def configuration(connection: Connection) -> Config:
    """Return what Alembic needs to work on an open connection."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config
