"""Alembic's entry: it works on the connection that `migrate.py` hands over."""

from alembic import context
from sqlmodel import SQLModel

from towonel.hub.store import tables

assert tables.RouteRow.metadata is SQLModel.metadata, (
    "importing the rows is what fills the metadata"
)

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=SQLModel.metadata,
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
