"""Frozen test vectors, loaded from `tests/vectors`."""

import json
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parents[1] / "vectors"


def load(name: str) -> Any:
    """Return the vectors of `tests/vectors/<name>.json`."""
    return json.loads((FOLDER / f"{name}.json").read_text())
