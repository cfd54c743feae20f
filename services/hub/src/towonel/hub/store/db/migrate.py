"""Schema migration at boot."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from towonel.hub.store.db.database import Database
from towonel.hub.store.db.offline import open_for_writing
from towonel.hub.store.db.revisions import SAME
from towonel.wire.errors import Code, Denied

MIGRATIONS = Path(__file__).parent / "migrations"


def upgrade(database: Database) -> bool:
    """Run the missing migrations, all or none; blocking, so call it in a thread.

    If several hubs boot at once, one migrates and the others wait for it.

    Returns:
        Whether the database was empty.

    Raises:
        Denied: INVALID_REQUEST if the database was migrated by a newer hub, or is another program's.
    """
    with open_for_writing(database) as connection:
        schema, newest = schema_of(connection), newest_revision()
        if schema != newest:  # Alembic looks at all of it for 10 ms
            upgrade_to(connection, newest)
        # Even with nothing to migrate: this fails on a read-only Postgres, and the hub waits for it.
        connection.execute(SAME)
    return schema is None


def upgrade_to(connection: Connection, revision: str) -> None:
    """Run the migrations up to a revision, in the open transaction.

    Raises:
        Denied: INVALID_REQUEST if the revision, or that of the database, is unknown.
    """
    for known in (schema_of(connection), revision):
        if known is not None:
            check_known(known)
    command.upgrade(configuration(connection), revision)


def schema_of(connection: Connection) -> str | None:
    """Return the revision of a database's schema, or None for an empty database."""
    return MigrationContext.configure(connection).get_current_revision()


def check_known(revision: str) -> None:
    """Check that this hub knows a revision.

    Raises:
        Denied: INVALID_REQUEST.
    """
    if revision not in {script.revision for script in _scripts().walk_revisions()}:
        raise Denied(
            Code.INVALID_REQUEST,
            f"schema {revision[:32]!r} is of a newer hub than this one, which has"
            f" {newest_revision()}: use that hub, or restore a backup of this one",
        )


def newest_revision() -> str:
    """Return the revision of this hub's schema."""
    head = _scripts().get_current_head()
    assert head is not None, "the migrations are part of the package"
    return head


def configuration(connection: Connection) -> Config:
    """Return the configuration of Alembic for an open connection."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config


def _scripts() -> ScriptDirectory:
    return ScriptDirectory(str(MIGRATIONS))
