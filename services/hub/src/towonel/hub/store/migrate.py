"""Bring a database to the newest schema, at boot."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, create_engine, text
from sqlalchemy.pool import NullPool

from towonel.hub.store.database import Database

MIGRATIONS = Path(__file__).parent / "migrations"
_LOCK = 0x746F776F  # of Postgres, for those who migrate: "towo"


def upgrade(database: Database, revision: str = "head") -> None:
    """Run the migrations that are missing: all or none of them; blocking, so call it in a thread.

    Of several hubs that boot at once, one migrates and the others wait for it.

    Args:
        database: which one.
        revision: how far to go.
    """
    if database.is_sqlite:
        _make_private(database.url.database)
    engine = create_engine(database.blocking_url, poolclass=NullPool, **database.engine_options)
    database.prepare(engine)
    try:
        with engine.connect().execution_options(writes=True) as connection, connection.begin():
            if not database.is_sqlite:
                connection.execute(
                    text("SET LOCAL lock_timeout = 0; SET LOCAL statement_timeout = 0")
                )
                connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
            command.upgrade(configuration(connection), revision)
    finally:
        engine.dispose()


def newest_revision() -> str:
    """Return the revision of the schema that this hub works with."""
    head = ScriptDirectory(str(MIGRATIONS)).get_current_head()
    assert head is not None, "the migrations are part of the package"
    return head


def configuration(connection: Connection) -> Config:
    """Return what Alembic needs to work on an open connection."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config


def _make_private(path: str | None) -> None:
    """Make the database's file for its owner only, before anything is in it."""
    if path and path != ":memory:":
        Path(path).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        Path(path).touch(mode=0o600)
