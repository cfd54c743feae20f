"""Translation of database errors."""

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncGenerator, Generator

from psycopg import Error
from sqlalchemy.exc import DataError, DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from towonel.hub.store.db.postgres import DISK_FULL, is_away
from towonel.wire.errors import Code, Denied, Unavailable

# Classes and codes of SQLSTATE for what is wrong with the database and not with a statement: a right
# that was taken away, a table that somebody changed, its configuration, its files.
_DAMAGED_STATES = ("42501", "42P01", "42703", "42704", "55", "58", "F0", "XX")
_PRIMARY_CODE = 0xFF  # of SQLite's codes; the rest is the detail of one
_DAMAGED_CODES = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_PASSING_CODES = {
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
}


@contextlib.contextmanager
def translate_errors() -> Generator[None]:
    """Raise our errors in place of the driver's.

    Raises:
        Unavailable: HUB_UNAVAILABLE if the database does not answer, or is damaged.
        Denied: INVALID_REQUEST for a value that it cannot hold.
    """
    try:
        yield
    except PoolTimeoutError as error:
        raise Unavailable(
            Code.HUB_UNAVAILABLE, "database: every connection is in use", retry_after_s=1
        ) from error
    except (OperationalError, InterfaceError) as error:
        raise _unavailable(error) from error
    except DataError as error:  # the last resort: models and rules refuse such values by name
        raise Denied(Code.INVALID_REQUEST, "a value that the database cannot hold") from error
    except DBAPIError as error:
        if error.connection_invalidated or is_away(error.orig) or is_damaged(error.orig):
            raise _unavailable(error) from error
        # Its own message contains values, and would be logged.
        state = getattr(error.orig, "sqlstate", None) or getattr(error.orig, "sqlite_errorname", "")
        raise RuntimeError(f"database: {type(error.orig).__name__} {state}") from None


@contextlib.asynccontextmanager
async def limit_begin(timeout_s: float) -> AsyncGenerator[None]:
    """Limit the time in which a transaction may begin.

    Raises:
        Unavailable: HUB_UNAVAILABLE.
    """
    try:
        async with asyncio.timeout(timeout_s):
            yield
    except TimeoutError as error:
        raise Unavailable(
            Code.HUB_UNAVAILABLE, "database: busy, or it does not answer", retry_after_s=2
        ) from error


def is_damaged(error: BaseException | None) -> bool:
    """Whether a driver's error means that the database itself is broken, until somebody repairs it."""
    if isinstance(error, Error):
        return (error.sqlstate or "").startswith(_DAMAGED_STATES)
    return _sqlite_code(error) in _DAMAGED_CODES


def is_corrupt(error: BaseException | None) -> bool:
    """Whether a driver's error means that the database's files are broken."""
    state = getattr(error, "sqlstate", None) or ""
    return state.startswith("XX") or _sqlite_code(error) == sqlite3.SQLITE_CORRUPT


def is_passing(error: BaseException | None) -> bool:
    """Whether a driver's error means that the database is unavailable for now."""
    return is_away(error) or _sqlite_code(error) in _PASSING_CODES


def is_locked(error: BaseException | None) -> bool:
    """Whether SQLite's error means that another process has the file locked."""
    return _sqlite_code(error) == sqlite3.SQLITE_BUSY


def describe(error: BaseException | None) -> str:
    """Return what a driver's error says, in one line; a full disk in the same words for each kind."""
    is_full = getattr(error, "sqlstate", None) == DISK_FULL
    if is_full or _sqlite_code(error) == sqlite3.SQLITE_FULL:
        return "disk full"
    return [*str(error).strip().splitlines(), "the connection was lost"][0]


def _sqlite_code(error: BaseException | None) -> int | None:
    code = getattr(error, "sqlite_errorcode", None)
    return None if code is None else int(code) & _PRIMARY_CODE


def _unavailable(error: DBAPIError) -> Unavailable:
    return Unavailable(Code.HUB_UNAVAILABLE, f"database: {describe(error.orig)}", retry_after_s=2)
