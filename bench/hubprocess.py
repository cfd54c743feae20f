"""Hub process of a benchmark, and its cost: time, CPU, memory, and the latency of others."""

import asyncio
import contextlib
import json
import os
import ssl
import sys
import time
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx
from support.ports import free_port

from towonel.client.hub import HubClient

HERE = Path(__file__).parent
READY_S = 120.0
UNLIMITED = {
    "TOWONEL_HUB_KEY_RATE_LIMIT_PER_SEC": "100000",
    "TOWONEL_HUB_RATE_LIMIT_PER_SEC": "100000",
    "TOWONEL_HUB_RATE_LIMIT_BURST": "100000",
}
type Figures = dict[str, float]


@dataclass(frozen=True)
class Running:
    """A hub process, and where it listens; `ready_s` is from its start until /readyz says so."""

    pid: int
    url: str
    key: str
    ready_s: float

    def client(self) -> HubClient:
        return HubClient(self.url, operator_key=self.key)

    @property
    def resident_mib(self) -> float:
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / (1 << 20)

    @property
    def peak_mib(self) -> float:
        """The most memory that it ever had."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0]) / 1024

    @property
    def processor_ms(self) -> float:
        """What all its threads took, user and system: unlike time, no neighbour adds to it."""
        stat = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(stat[11]) + int(stat[12])) * 1000 / os.sysconf("SC_CLK_TCK")


@contextlib.asynccontextmanager
async def run_hub(folder: Path, more: Mapping[str, str]) -> AsyncIterator[Running]:
    """A hub on a filled database, ready, until the context ends."""
    port, health = free_port(), free_port()
    environ = {
        "TOWONEL_DATA_DIR": str(folder),
        "TOWONEL_HUB_LISTEN_ADDR": f"127.0.0.1:{port}",
        "TOWONEL_HUB_HEALTH_LISTEN_ADDR": f"127.0.0.1:{health}",
        "TOWONEL_LOG_LEVEL": "error",
        **UNLIMITED,
        **more,
    }
    started = time.perf_counter()
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", "towonel.hub", env=environ)
    try:
        await _wait_ready(f"http://127.0.0.1:{health}/readyz", process)
        ready_s = time.perf_counter() - started
        key = (folder / "operator.key").read_text().strip()
        yield Running(process.pid, f"http://127.0.0.1:{port}", key, ready_s)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await process.wait()


def connections() -> httpx.AsyncClient:
    """Plain HTTP; certificates, which take longer to load than most answers, are left alone."""
    return httpx.AsyncClient(timeout=60, verify=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))


async def _wait_ready(url: str, process: asyncio.subprocess.Process) -> None:
    async with asyncio.timeout(READY_S), connections() as http:
        while process.returncode is None:
            with contextlib.suppress(httpx.TransportError):
                if (await http.get(url)).is_success:
                    return
            await asyncio.sleep(0.01)
    raise AssertionError("the hub ended before it was ready")


@contextlib.asynccontextmanager
async def others(hub: Running) -> AsyncIterator[Figures]:
    """How long somebody else waits for small answers meanwhile; the figures are there at the end."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, str(HERE / "latency_probe.py"), hub.url), stdin=PIPE, stdout=PIPE
    )
    assert process.stdout
    figures: Figures = {}
    try:
        await process.stdout.readline()
        yield figures
    finally:
        output, _ = await process.communicate()
        figures |= json.loads(output)
