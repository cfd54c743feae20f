"""HTTP/2 inside TLS that ends at edges."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    """Apply the change."""
    column = sa.Column("http2", sa.Boolean, nullable=False, server_default=sa.false())
    op.add_column("routes", column)
