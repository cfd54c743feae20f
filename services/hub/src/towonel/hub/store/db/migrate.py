"""Bring a database to the newest schema, at boot."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from towonel.hub.store.db.database import Database
from towonel.hub.store.db.offline import writing
from towonel.hub.store.db.transactions import SAME
from towonel.wire.errors import Code, Denied

MIGRATIONS = Path(__file__).parent / "migrations"


def upgrade(database: Database) -> None:
    """Run the migrations that are missing: all or none of them; blocking, so call it in a thread.

    Of several hubs that boot at once, one migrates and the others wait for it.

    Raises:
        Denied: INVALID_REQUEST where a newer hub made the database.
    """
    with writing(database) as connection:
        upgrade_to(connection, newest_revision())
        # There may be nothing to migrate, and a Postgres that only reads is waited for as well.
        connection.execute(SAME)


def upgrade_to(connection: Connection, revision: str) -> None:
    """Run the migrations up to a revision, in the transaction that is open.

    Raises:
        Denied: INVALID_REQUEST where the revision, or that of the database, is not known here.
    """
    for held in (schema_of(connection), revision):
        if held is not None:
            check_known(held)
    command.upgrade(configuration(connection), revision)


def schema_of(connection: Connection) -> str | None:
    """Return the revision of a database's schema; none where it has none."""
    return MigrationContext.configure(connection).get_current_revision()


def check_known(revision: str) -> None:
    """Check that this hub has migrations up to a revision.

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
    """Return the revision of the schema that this hub works with."""
    head = _scripts().get_current_head()
    assert head is not None, "the migrations are part of the package"
    return head


def configuration(connection: Connection) -> Config:
    """Return what Alembic needs to work on an open connection."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config


def _scripts() -> ScriptDirectory:
    return ScriptDirectory(str(MIGRATIONS))
