"""Keyset pagination: a page starts after the last row of the previous one."""

from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

from sqlalchemy import Integer, LargeBinary, tuple_
from sqlmodel import col
from sqlmodel.ext.asyncio.session import AsyncSession
from sqlmodel.sql.expression import SelectOfScalar

from towonel.wire import base64url, cbor
from towonel.wire.errors import Code, Denied, ProtocolError

MAX_CURSOR_CHARS = 512


@dataclass(frozen=True, slots=True)
class Paging:
    """Requested page: at most `limit` rows after `cursor`."""

    limit: int
    cursor: str | None = None


@dataclass(frozen=True, slots=True)
class Paged[Row]:
    """Page of rows; `next_cursor` is None on the last page."""

    rows: Sequence[Row]
    next_cursor: str | None


async def page[Row](
    session: AsyncSession,
    query: SelectOfScalar[Row],
    paging: Paging,
    order: Sequence[Any],
    *,
    descending: bool = False,
) -> Paged[Row]:
    """Return one page of a query.

    Args:
        session: of the database.
        query: a select of whole rows, filtered and not ordered.
        paging: the requested page.
        order: attributes that order the rows without ties, and have an index.
        descending: whether the highest come first.

    Raises:
        Denied: INVALID_REQUEST for a cursor of another list.
    """
    columns: list[Any] = [col(attribute) for attribute in order]
    if paging.cursor is not None:
        last = _decode(paging.cursor, [_kind(column) for column in columns])
        bound = tuple_(*columns) < last if descending else tuple_(*columns) > last
        query = query.where(bound)
    ordered = [column.desc() if descending else column for column in columns]
    found = (await session.exec(query.order_by(*ordered).limit(paging.limit + 1))).all()
    rows = found[: paging.limit]
    if len(found) <= paging.limit:
        return Paged(rows, None)
    values = [getattr(rows[-1], attribute.key) for attribute in order]
    return Paged(rows, base64url.encode(cbor.encode(values)))


def page_in_memory[Row](
    rows: Sequence[Row], paging: Paging, key: Callable[[Row], tuple[str, bytes]]
) -> Paged[Row]:
    """Return one page of rows that are in the order of their keys.

    Raises:
        Denied: INVALID_REQUEST for a cursor of another list.
    """
    start = 0
    if paging.cursor is not None:
        start = bisect_right(rows, _decode(paging.cursor, [str, bytes]), key=key)
    found = rows[start : start + paging.limit]
    if start + paging.limit >= len(rows):
        return Paged(found, None)
    return Paged(found, base64url.encode(cbor.encode(list(key(found[-1])))))


def _decode(cursor: str, kinds: Sequence[type]) -> tuple[Any, ...]:
    wrong = Denied(Code.INVALID_REQUEST, "cursor: is not a cursor of this list")
    if len(cursor) > MAX_CURSOR_CHARS:
        raise wrong
    try:
        decoded = cbor.decode(base64url.decode(cursor))
    except ProtocolError as error:
        raise wrong from error
    if not isinstance(decoded, list):
        raise wrong
    values = cast(list[object], decoded)
    # Exact types: a bool is an int. No database accepts a number beyond 64 bits.
    fits = [type(value) is kind for value, kind in zip(values, kinds, strict=False)]
    if len(values) != len(kinds) or not all(fits):
        raise wrong
    if any(isinstance(value, int) and abs(value) >= 1 << 63 for value in values):
        raise wrong
    if any(isinstance(value, str) and "\0" in value for value in values):
        raise wrong
    return tuple(values)


def _kind(column: Any) -> type:
    # SQLModel's text columns have `object` as their `python_type`.
    if isinstance(column.type, LargeBinary):
        return bytes
    return int if isinstance(column.type, Integer) else str
