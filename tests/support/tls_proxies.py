"""Programs in front of an edge that pass TLS on, set up as docs/certificates.md says."""

import asyncio
import contextlib
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Literal

from support.documents import blocks
from support.polling import pauses
from support.ports import free_port

PATH = "/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin"
DOCUMENT = Path(__file__).parents[2] / "docs/certificates.md"

type Proxy = Literal["haproxy", "nginx"]


@contextlib.asynccontextmanager
async def tls_proxy(name: Proxy, folder: Path, edge: int, site: int) -> AsyncIterator[int]:
    """Run a proxy in front of an edge and of a site of its own, and yield its port."""
    program = shutil.which(name, path=PATH)
    assert program, f"{name} is missing: run `make tools`"
    folder.mkdir()
    port = free_port()
    file = folder / f"{name}.conf"
    file.write_text(_configure(name, port, edge, site))
    process = await asyncio.create_subprocess_exec(
        program, *_flags(name, folder, file), stdin=asyncio.subprocess.DEVNULL
    )
    try:
        await _wait_listening(process, port)
        yield port
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await process.wait()


def _configure(name: Proxy, port: int, edge: int, site: int) -> str:
    """Return what the document says, with the ports of a test."""
    [block] = [each for each in blocks(DOCUMENT) if each.language == name]
    text = block.text
    listening = {"haproxy": "bind :443", "nginx": "listen 443"}[name]
    replaced = {
        listening: f"{listening.split()[0]} 127.0.0.1:{port}",
        "127.0.0.1:8443": f"127.0.0.1:{edge}",
        "127.0.0.1:9443": f"127.0.0.1:{site}",
    }
    for documented, tested in replaced.items():
        assert text.count(documented) == 1, documented
        text = text.replace(documented, tested)
    return text


def _flags(name: Proxy, folder: Path, file: Path) -> list[str]:
    if name == "haproxy":
        return ["-db", "-q", "-f", str(file)]
    log = f"{folder}/error.log"
    own = f"daemon off; pid {folder}/nginx.pid; error_log {log};"
    return ["-c", str(file), "-e", log, "-g", own]


async def _wait_listening(process: asyncio.subprocess.Process, port: int) -> None:
    async with asyncio.timeout(20):
        for pause_s in pauses():
            assert process.returncode is None, "it has ended"
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.close()
                return
            await asyncio.sleep(pause_s)
