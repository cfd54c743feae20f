"""Bring a database to the newest schema, at boot."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, create_engine

MIGRATIONS = Path(__file__).parent / "migrations"


def upgrade(url: str) -> None:
    """Run the migrations that are missing; blocking, so call it in a thread.

    Args:
        url: of the database, for a synchronous driver: `sqlite:///path`.
    """
    engine = create_engine(url)
    try:
        with engine.begin() as connection:
            command.upgrade(configuration(connection), "head")
    finally:
        engine.dispose()


def configuration(connection: Connection) -> Config:
    """Return what Alembic needs to work on an open connection."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config
