"""Origins of TCP services: sshd, whose server speaks first, iperf3, and one that keeps what it reads."""

import asyncio
import contextlib
import getpass
import os
import shutil
import subprocess
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

from support.origins import listening
from support.ports import free_port

_SBIN = "/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin"
_SSHD = """\
ListenAddress 127.0.0.1:{port}
HostKey {folder}/host_key
AuthorizedKeysFile {folder}/key.pub
PasswordAuthentication no
StrictModes no
UsePAM no
PidFile none
"""


@dataclass(frozen=True)
class SshServer:
    """An sshd of the test's own, and what its client needs."""

    folder: Path
    port: int

    def command(self, port: int, *words: str) -> tuple[str, ...]:
        """Return the command that has a shell behind a port run words."""
        known = f"UserKnownHostsFile={self.folder / 'known_hosts'}"
        options = ("StrictHostKeyChecking=accept-new", "BatchMode=yes", known)
        flags = [word for option in options for word in ("-o", option)]
        target = ("-p", str(port), f"{getpass.getuser()}@127.0.0.1")
        return ("ssh", "-F", "none", "-i", str(self.folder / "key"), *flags, *target, *words)


@contextlib.asynccontextmanager
async def ssh_server(folder: Path) -> AsyncIterator[SshServer]:
    """Run an sshd that lets this user in by a key."""
    folder.mkdir(parents=True)
    for name in ("host_key", "key"):
        command = ("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name))
        subprocess.run(command, check=True)
    port = free_port()
    (folder / "sshd_config").write_text(_SSHD.format(port=port, folder=folder))
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # as its service does
    async with running_server("sshd", port, "-D", "-e", "-f", str(folder / "sshd_config")):
        yield SshServer(folder, port)


@contextlib.asynccontextmanager
async def iperf_server() -> AsyncIterator[int]:
    """Run an iperf3 server, and return its port."""
    port = free_port()
    async with running_server("iperf3", port, "-s", "-B", "127.0.0.1", "-p", str(port)):
        yield port


@contextlib.asynccontextmanager
async def running_server(name: str, port: int, *arguments: str) -> AsyncIterator[None]:
    """Run a server that listens on a TCP port, and wait until it does."""
    program = shutil.which(name, path=_SBIN)
    assert program, f"{name} is not installed: run make tools"
    process = await asyncio.create_subprocess_exec(
        program,
        *arguments,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        await listening(port)
        yield
    finally:
        process.terminate()
        await process.wait()


@dataclass
class Plain:
    """Origin that says who it is, and sends back what it gets, which it keeps by connection."""

    name: bytes
    port: int = 0
    received: list[bytearray] = field(default_factory=list[bytearray])

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(self.name)
        self.received.append(received := bytearray())
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                received += data
                writer.write(data)
                await writer.drain()
            writer.write(b"end")
        writer.close()


@contextlib.asynccontextmanager
async def plain_origin(name: bytes, host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[Plain]:
    """Run such an origin."""
    origin = Plain(name)
    async with await asyncio.start_server(origin.serve, host, port) as server:
        origin.port = server.sockets[0].getsockname()[1]
        yield origin


def port_service(name: str, origin: int, port: int | str, **more: object) -> dict[str, object]:
    """Return a service as an agent's environment has it."""
    return {"name": name, "origin": f"127.0.0.1:{origin}", "listen_port": port, **more}
