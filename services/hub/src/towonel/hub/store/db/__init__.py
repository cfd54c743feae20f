"""The hub's database: engines, transactions and migrations."""

import sys

# What colours the pages of errors of Mako, which Alembic imports: half of Pygments where there is one, and a
# tenth of what a hub imports.
sys.modules.setdefault("mako.ext.pygmentplugin", None)  # type: ignore[arg-type]
