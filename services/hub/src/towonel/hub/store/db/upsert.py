"""Upsert: insert a row or update it, in one statement."""

from sqlalchemy import inspect
from sqlalchemy.dialects import postgresql, sqlite
from sqlmodel import SQLModel
from sqlmodel.ext.asyncio.session import AsyncSession


async def upsert(session: AsyncSession, row: SQLModel, *replaced: str) -> None:
    """Insert a row, or update only these columns if its key exists.

    Unlike a select and then an insert, it cannot fail because a replica wrote in between.
    """
    table = type(row)
    dialect = (await session.connection()).dialect.name
    insert = postgresql.insert if dialect == "postgresql" else sqlite.insert
    statement = insert(table).values(row.model_dump())
    await session.exec(
        statement.on_conflict_do_update(
            index_elements=list(inspect(table).primary_key),
            set_={name: statement.excluded[name] for name in replaced},
        )
    )
