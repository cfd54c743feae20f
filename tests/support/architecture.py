"""Picture of the architecture, drawn from the text that the repository keeps."""

import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).parents[2] / "docs"
SOURCE = FOLDER / "architecture.txt"
LOOK = ("--theme", "auto", "--color", "--title", "Towonel: client, edge, agent, origin and hub")


def documents() -> dict[Path, str]:
    """Return the picture; a line of the text that ends nowhere is an error."""
    command = [sys.executable, "-m", "ascii2svg", str(SOURCE), "--strict", *LOOK]
    drawn = subprocess.run(command, check=True, capture_output=True, text=True)
    return {FOLDER / "architecture.svg": drawn.stdout}
