"""Shell commands of documents, each marked with the story that it belongs to and the machine that it is for.

    ```sh docker vps
    docker run …

A story is what somebody does from top to bottom; a test runs it so. GitHub reads the first word only.
"""

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
MIGRATING = sorted(ROOT.glob("docs/migrating/*.md"))
MARKED = (README, *MIGRATING)
FENCE = re.compile(r"^```([^\n`]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# Which module runs the stories of each kind: all of their blocks, as they stand.
RUNNERS = {
    "tree": "tests/boot/test_readme.py",
    "source": "tests/boot/test_readme.py",
    "docker": "tests/e2e/containers/test_readme.py",
    "compose": "tests/e2e/containers/test_readme.py",
    "original": "tests/e2e/containers/test_readme.py",
    "kube": "tests/e2e/kube/test_commands.py",
}


@dataclass(frozen=True)
class Block:
    """Fenced block of a document: its language, and of shell its story and machine."""

    document: Path
    line: int
    language: str
    story: str
    machine: str
    text: str

    @property
    def where(self) -> str:
        return f"{self.document.relative_to(ROOT)}:{self.line}"


def blocks(document: Path) -> list[Block]:
    """Return the fenced blocks of a document, in order."""
    text = document.read_text()
    found = list[Block]()
    for fence in FENCE.finditer(text):
        words: list[str] = [*str(fence[1]).split(), "", "", ""]
        language, name, machine = words[:3]
        line = text.count("\n", 0, fence.start()) + 1
        found.append(Block(document, line, language, name, machine, fence[2]))
    return found


def story(name: str, document: Path = README) -> list[Block]:
    """Return the blocks of one story, in order."""
    return [block for block in blocks(document) if block.story == name]
