"""Typed client of the hub's REST API."""

import sys

# The command line of httpx, which it imports with click, rich and pygments where there are any: a
# tenth of what an ordinary command costs.
sys.modules.setdefault("httpx._main", None)  # type: ignore[arg-type]
