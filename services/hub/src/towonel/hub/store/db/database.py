"""Address and engine options of a database: a SQLite file or a Postgres server."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, override

from sqlalchemy import URL, Engine, event, make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from towonel.hub.store.db import sqlite
from towonel.hub.store.db.postgres import connector, leave_read_only

CONNECT_TIMEOUT_S = 3
# A normal statement takes milliseconds; a snapshot of 300 000 routes takes some seconds.
_POSTGRES_OPTIONS = (
    "-c statement_timeout=30000 -c lock_timeout=5000 -c idle_in_transaction_session_timeout=60000"
)


@dataclass(frozen=True, slots=True)
class Database:
    """Address of a database, without a driver."""

    url: URL = field(repr=False)  # URL's repr hides only one of the places where a password may be

    @classmethod
    def in_file(cls, path: Path) -> "Database":
        """Return the SQLite database in a file; its name may have any characters."""
        return cls(URL.create("sqlite", database=str(path)))

    @classmethod
    def parse_file(cls, dsn: str) -> "Database":
        """Parse the path of a file, plain or as `sqlite:///var/lib/towonel/hub.db?mode=rwc`.

        Raises:
            ValueError: with the rule, but never the DSN, which may hold a password.
        """
        scheme, separator, rest = dsn.partition("://")
        if separator and scheme != "sqlite":
            raise ValueError("is not a file; for a server set TOWONEL_HUB_DB_DRIVER=postgres")
        path = rest.partition("?")[0] if separator else dsn
        if path in {"", ":memory:"} or path.startswith("sqlite::"):
            raise ValueError("must be the path of a file: what is in memory would be forgotten")
        return cls.in_file(Path(path))

    @classmethod
    def parse(cls, dsn: str) -> "Database":
        """Parse `postgres://user:password@host:port/name?sslmode=require`.

        Raises:
            ValueError: with the rule, but never the DSN, which may hold a password.
        """
        try:
            url = make_url(dsn)
        except (ArgumentError, ValueError):
            url = None
        if url is None or url.drivername not in {"postgres", "postgresql", "postgresql+psycopg"}:
            raise ValueError("must be postgres://user:password@host:5432/database")
        if not url.database:
            raise ValueError("names no database: postgres://user:password@host:5432/database")
        return cls(url.set(drivername="postgresql"))

    @property
    def is_sqlite(self) -> bool:
        return self.url.drivername == "sqlite"

    @property
    def path(self) -> Path | None:
        """The SQLite file, or None for a server."""
        return Path(str(self.url.database)) if self.is_sqlite else None

    @property
    def blocking_url(self) -> URL:
        """The address for a synchronous engine."""
        return self.url if self.is_sqlite else self.url.set(drivername="postgresql+psycopg")

    @property
    def async_url(self) -> URL:
        """The address for an asynchronous engine."""
        driver = "sqlite+aiosqlite" if self.is_sqlite else "postgresql+psycopg"
        return self.url.set(drivername=driver)

    @property
    def engine_options(self) -> dict[str, Any]:
        """Options of `create_engine` and `create_async_engine`."""
        # Parameters hold hashes, and errors are logged.
        shared: dict[str, Any] = {"hide_parameters": True}
        if self.is_sqlite:
            return {**shared, "connect_args": {"factory": sqlite.ClosingConnection}}
        connect = {
            "connect_timeout": CONNECT_TIMEOUT_S,
            "application_name": "towonel-hub",
            "options": _POSTGRES_OPTIONS,
        }
        # No column is an hstore, for which SQLAlchemy would ask the server with the first connection.
        native = {"use_native_hstore": False}
        return {**shared, **native, "pool_pre_ping": True, "connect_args": connect}

    def create_engine(
        self, *, max_connections: int, max_idle: int, begin_s: float, answer_s: float
    ) -> AsyncEngine:
        """Return an engine with a pool of connections; `Store.open` says what its limits mean."""
        options = self.engine_options
        creator = sqlite.connect if self.is_sqlite else connector(answer_s)
        options["connect_args"] = {**options["connect_args"], "async_creator_fn": creator}
        engine = create_async_engine(
            self.async_url,
            pool_size=max_idle,
            max_overflow=max_connections - max_idle,
            pool_timeout=begin_s,
            **options,
        )
        self.prepare(engine.sync_engine, busy_ms=sqlite.SHORT_BUSY_MS)
        return engine

    def prepare(self, engine: Engine, *, busy_ms: int = sqlite.BUSY_MS) -> None:
        """Set up the connections of an engine."""
        if self.is_sqlite:
            sqlite.prepare(engine, busy_ms=busy_ms)
        else:
            event.listen(engine, "handle_error", leave_read_only)

    @override
    def __str__(self) -> str:
        """Return the address without any password."""
        return str(self.path or self.url.set(query={}).render_as_string())
