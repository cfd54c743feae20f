"""SQLAlchemy dialects of the tests: a process compiles a statement once, not once for each engine.

SQLAlchemy looks up a compiled statement by the dialect object of the engine. Here these are equal: the
engines of a dialect have the same options, and talk to one SQLite library or one version of Postgres.
"""

from typing import Any, ClassVar, override

from sqlalchemy import URL, Dialect, Engine
from sqlalchemy.dialects import registry
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg, PGDialectAsync_psycopg
from sqlalchemy.dialects.sqlite.aiosqlite import SQLiteDialect_aiosqlite
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite


class _Shared:
    """Dialect that equals all others of its class, and whose engines share one statement cache."""

    cache: ClassVar[dict[Any, Any]] = {}

    @override
    def __eq__(self, other: object) -> bool:
        return type(self) is type(other)

    @override
    def __hash__(self) -> int:
        return hash(type(self))

    @classmethod
    def engine_created(cls, engine: Engine) -> None:
        engine.update_execution_options(compiled_cache=cls.cache)


class Sqlite(_Shared, SQLiteDialect_pysqlite):
    supports_statement_cache = True


class AsyncSqlite(_Shared, SQLiteDialect_aiosqlite):
    supports_statement_cache = True


class AsyncPostgres(_Shared, PGDialectAsync_psycopg):
    supports_statement_cache = True


class Postgres(_Shared, PGDialect_psycopg):
    supports_statement_cache = True

    @classmethod
    @override
    def get_async_dialect_cls(cls, url: URL) -> type[Dialect]:
        return AsyncPostgres


def register() -> None:
    """Let all engines that are made from now on have these dialects."""
    registry.register("sqlite", __name__, "Sqlite")
    registry.register("sqlite.aiosqlite", __name__, "AsyncSqlite")
    registry.register("postgresql.psycopg", __name__, "Postgres")
