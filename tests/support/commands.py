"""Runner of the command `towonel`, and a hub for it to talk to."""

import contextlib
import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from support import fork_server
from support.ports import free_port
from typer.testing import CliRunner, Result

from towonel.cli.app import app
from towonel.client.hub import HubClient

START_S, STOP_S = 60, 40


def towonel(*arguments: str, stdin: str | bytes | None = None, **environ: str) -> Result:
    """What the command says; what is typed or piped into it is `stdin`."""
    # Whoever runs the tests may be logged in somewhere.
    apart = {"COLUMNS": "80", "XDG_CONFIG_HOME": "/nowhere"}
    return CliRunner().invoke(app, arguments, input=stdin, env=apart | environ)


@dataclass(frozen=True)
class CommandedHub:
    url: str
    folder: Path

    @property
    def key(self) -> str:
        return (self.folder / "operator.key").read_text()

    @property
    def environ(self) -> dict[str, str]:
        return {"TOWONEL_HUB_URL": self.url, "TOWONEL_DATA_DIR": str(self.folder)}

    def run(self, *arguments: str, stdin: str | None = None, **environ: str) -> Result:
        return towonel(*arguments, stdin=stdin, **(self.environ | environ))

    def stdout_of(self, *arguments: str) -> str:
        """What it tells people, of a command that does what it should."""
        result = self.run(*arguments)
        assert result.exit_code == 0, result.output
        return result.stdout

    def json_of(self, *arguments: str) -> dict[str, Any]:
        """What it tells programs."""
        found = json.loads(self.stdout_of(*arguments, "--json"))
        assert isinstance(found, dict)
        return found

    def client(self) -> HubClient:
        return HubClient(self.url, operator_key=self.key)


@contextlib.contextmanager
def commanded_hub(folder: Path) -> Iterator[CommandedHub]:
    """A hub alone, without an edge, until the context ends; its drain is part of it."""
    port = free_port()
    found = CommandedHub(f"http://127.0.0.1:{port}", folder)
    environ = {
        "TOWONEL_DATA_DIR": str(folder),
        "TOWONEL_HUB_LISTEN_ADDR": f"127.0.0.1:{port}",
        "TOWONEL_HUB_HEALTH_LISTEN_ADDR": f"127.0.0.1:{free_port()}",
        "TOWONEL_HUB_PUBLIC_URL": found.url,
        "TOWONEL_HUB_RATE_LIMIT_PER_SEC": "1000",
        "TOWONEL_HUB_RATE_LIMIT_BURST": "1000",
    }
    log = folder / "log"
    process = fork_server.fork("hub", os.environ | environ, outputs=(log, log))
    try:
        deadline = time.monotonic() + START_S
        while found.run("status").exit_code != 0:
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)
        yield found
    finally:
        process.terminate()
        process.join(STOP_S)
        assert process.exitcode == 0
