"""The first use of each invite of a tenant or an edge."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

# Those that were used before this was noted: by when they were made, which is all that is known.
_USED = """
UPDATE invites SET used_at_ms = created_at_ms WHERE tenant_id IN
 (SELECT tenant_id FROM agents UNION SELECT tenant_id FROM services UNION SELECT tenant_id FROM entries)
"""
_REGISTERED = """
UPDATE edge_invites SET used_at_ms = created_at_ms WHERE edge_id IN (SELECT edge_id FROM edges)
"""


def upgrade() -> None:
    """Apply the change."""
    for table in ("invites", "edge_invites"):
        op.add_column(table, sa.Column("used_at_ms", sa.BigInteger))
    op.execute(_USED)
    op.execute(_REGISTERED)
