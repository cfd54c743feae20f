"""Wheels as `make wheels` builds them, in environments of their own, on a machine without a compiler."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from support.programs import Process, execute

ROOT = Path(__file__).parents[2]
# The authorities of the machine, where a network has its own: a run of tests has no SSL_CERT_FILE. The second name is of older uvs.
AUTHORITIES = {"UV_SYSTEM_CERTS": "1", "UV_NATIVE_TLS": "1"}


def run(*command: str | Path, **environ: str) -> str:
    """Run a command in this tree, and return what it says."""
    environ = os.environ | AUTHORITIES | environ
    done = subprocess.run(
        command, cwd=ROOT, env=environ, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def build_wheels(folder: Path) -> Path:
    """Build them into a folder, and return it."""
    clean = {name: "" for name in os.environ if name.startswith("MAKE")}
    run("make", "--no-print-directory", "wheels", f"DIST={folder}", **clean)
    return folder


class Environment:
    """Environment that has edge and agent, of the wheels of a folder.

    Args:
        folder: of the environment.
        wheels: where our packages are; those of others come from the lock.
    """

    def __init__(self, folder: Path, wheels: Path) -> None:
        self.python = folder / "bin/python"
        others = folder / "others.txt"
        run("uv", "venv", "--quiet", "--python", sys.executable, folder)
        export = ("uv", "export", "--quiet", "--frozen", "--no-dev", "--no-emit-workspace")
        run(*export, "--package", "towonel-agent", "--package", "towonel-edge", "-o", others)
        install = ("uv", "pip", "install", "--quiet", "--python", self.python)
        run(*install, "--requirement", others)
        tools = folder / "tools"  # all of the machine that an installer has: no compiler
        tools.mkdir()
        (tools / "uv").symlink_to(run("sh", "-c", "command -v uv").strip())
        of_wheels = ("--no-index", "--find-links", wheels, "towonel-agent", "towonel-edge")
        run(*install, *of_wheels, PATH=str(tools), UV_NO_CACHE="1")

    async def execute(self, program: str, environ: Mapping[str, str], output: Path) -> Process:
        """Start a program that it has as its user does, and another one of this tree."""
        python = sys.executable if program == "hub" else str(self.python)
        return await execute(program, environ, output, python)
