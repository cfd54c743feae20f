"""HAProxy in front of an edge, with health checks, as a load balancer that people have."""

import asyncio
import contextlib
import csv
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from support.ports import free_port

HAPROXY = shutil.which("haproxy", path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin")

CONFIGURATION = """
global
  stats socket {folder}/haproxy.sock
defaults
  mode tcp
  timeout connect 5s
  timeout check 10s
  timeout client 30s
  timeout server 30s
listen front
  bind 127.0.0.1:{port}
  server edge 127.0.0.1:{edge_port} send-proxy-v2 check check-send-proxy inter 1000 fall 1 rise 1 {check}
"""


@dataclass(frozen=True)
class HaProxy:
    """A running HAProxy whose only server is an edge."""

    port: int
    folder: Path

    async def server(self) -> dict[str, str]:
        """The row of the edge in its statistics: `status`, `check_status`, `chkfail` and others."""
        reader, writer = await asyncio.open_unix_connection(str(self.folder / "haproxy.sock"))
        try:
            writer.write(b"show stat\n")
            text = (await reader.read()).decode()
        finally:
            writer.close()
        rows = csv.DictReader(text.removeprefix("# ").splitlines())
        return next(row for row in rows if row["svname"] == "edge")


@contextlib.asynccontextmanager
async def haproxy(folder: Path, edge_port: int, check: str = "") -> AsyncIterator[HaProxy]:
    """Run HAProxy; `check` are further options of its health checks."""
    assert HAPROXY, "haproxy is missing: run `make tools`"
    folder.mkdir()
    server = HaProxy(free_port(), folder)
    configuration = folder / "haproxy.cfg"
    configuration.write_text(
        CONFIGURATION.format(folder=folder, port=server.port, edge_port=edge_port, check=check)
    )
    process = await asyncio.create_subprocess_exec(
        HAPROXY, "-db", "-q", "-f", str(configuration), stdin=asyncio.subprocess.DEVNULL
    )
    try:
        yield server
    finally:
        process.terminate()
        await process.wait()
