"""Networks of clients that a service serves, or does not."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Apply the change."""
    op.add_column("routes", sa.Column("client_networks", sa.String))
