"""Programs in a mount namespace of their own, which see other files than the machine has."""

import asyncio
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
from support.programs import OwnProcess, Process, ProcessRunner
from support.stack import Stack

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="mounts files, which root may")


@dataclass(frozen=True)
class Mounts:
    """Files that replace the machine's: by path, their text."""

    folder: Path
    texts: Mapping[str, str]

    def runner(self) -> ProcessRunner:
        """Return a runner whose programs see these files."""
        return ProcessRunner(self.folder, self._execute)

    async def _execute(self, program: str, environ: Mapping[str, str], output: Path) -> Process:
        with output.open("wb") as log:
            return await asyncio.create_subprocess_exec(
                *("unshare", "--mount", "sh", "-c", self._script(program)),
                env={"PATH": os.environ["PATH"], **environ},
                stdout=log,
                stderr=log,
            )

    def _script(self, program: str) -> str:
        lines: list[str] = []
        for path, text in self.texts.items():
            file = self.folder / Path(path).name
            file.write_text(text)
            lines.append(f"mount --bind {file} {path}")
        return " && ".join([*lines, f"exec {sys.executable} -m towonel.{program}"])


async def start_agent(
    stack: Stack, mounts: Mounts, token: str, *services: dict[str, str], **environ: str
) -> OwnProcess:
    """Start an agent that sees these files, until the stack ends its agents."""
    before, stack.runner = stack.runner, mounts.runner()
    agent = (await stack.start_agent(token, *services, wait=True, **environ)).program
    stack.runner = before
    assert isinstance(agent, OwnProcess)
    return agent
