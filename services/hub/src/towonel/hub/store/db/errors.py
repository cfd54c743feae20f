"""Translation of database errors."""

import contextlib
from collections.abc import Generator

from sqlalchemy.exc import DataError, DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from towonel.hub.store.db.postgres import is_away
from towonel.wire.errors import Code, Denied, Unavailable


@contextlib.contextmanager
def translate_errors() -> Generator[None]:
    """Raise our errors in place of the driver's.

    Raises:
        Unavailable: HUB_UNAVAILABLE if the database does not answer.
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
        if error.connection_invalidated or is_away(error.orig):
            raise _unavailable(error) from error
        # Its own message contains values, and would be logged.
        state = getattr(error.orig, "sqlstate", None) or getattr(error.orig, "sqlite_errorname", "")
        raise RuntimeError(f"database: {type(error.orig).__name__} {state}") from None


def _unavailable(error: DBAPIError) -> Unavailable:
    reason = [*str(error.orig).strip().splitlines(), "the connection was lost"][0]
    return Unavailable(Code.HUB_UNAVAILABLE, f"database: {reason}", retry_after_s=2)
