"""Processes of the demo: their ports, environments and logs."""

import asyncio
import contextlib
import json
import signal
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

import httpx

from towonel.cli.demo.page import HOST, HOSTNAME, FetchFailed, retry
from towonel.cli.subprocesses import Program, start

READY_S = 60.0  # slow machines compile the programs first
STOP_S = 20.0  # then SIGKILL, which none needs: it has drained in three seconds
TAIL_LINES = 15


class Port(StrEnum):
    """Ports of the demo, in a row on loopback, and what uses each."""

    EDGE = "the edge, for clients and agents"
    ORIGIN = "the service at home"
    HUB = "the hub's API"
    HUB_HEALTH = "the hub's health"
    EDGE_HEALTH = "the edge's health"
    AGENT_HEALTH = "the agent's health"


type Ports = Mapping[Port, int]


@dataclass(frozen=True, slots=True)
class DemoProcess:
    """A running program and its log."""

    name: str
    process: asyncio.subprocess.Process
    log: Path

    def signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(number)

    async def stop(self) -> None:
        """End it and wait until it has."""
        self.signal(signal.SIGTERM)
        killing = asyncio.get_running_loop().call_later(STOP_S, self.signal, signal.SIGKILL)
        await self.process.wait()
        killing.cancel()


class StepFailed(Exception):
    """A step of the demo failed: the reason, and the program concerned if there is one."""

    def __init__(self, reason: str, process: DemoProcess | None = None) -> None:
        super().__init__(reason)
        self.program = process.name if process else None
        lines = process.log.read_text(errors="replace").splitlines() if process else []
        self.last_lines = lines[-TAIL_LINES:]


@dataclass(slots=True)
class Processes:
    """Programs that run together: when one ends by itself, `tasks` fail with its StepFailed."""

    folder: Path
    tasks: asyncio.TaskGroup
    started: list[DemoProcess] = field(default_factory=list[DemoProcess])

    @contextlib.asynccontextmanager
    async def run(self, program: Program) -> AsyncGenerator[DemoProcess]:
        """Run a program while the context lasts."""
        log = self.folder / f"{program.name}.log"
        with log.open("wb") as output:
            process = DemoProcess(program.name, await start(program, output), log)
        self.started.append(process)
        watch = self.tasks.create_task(_fail_at_its_end(process))
        try:
            yield process
        finally:
            watch.cancel()
            await process.stop()


async def wait_ready(waited: DemoProcess, port: int, patience_s: float = READY_S) -> None:
    """Wait until `/readyz` on a port of loopback answers 200.

    Raises:
        StepFailed: it was not ready in time.
    """
    async with httpx.AsyncClient(base_url=f"http://{HOST}:{port}", trust_env=False) as http:

        async def ask() -> None:
            (await http.get("/readyz")).raise_for_status()

        try:
            await retry(ask, patience_s)
        except FetchFailed as error:
            reason = f"{waited.name} is not ready after {patience_s:.0f} s"
            raise StepFailed(reason, waited) from error


def serve_environment(ports: Ports, folder: Path) -> dict[str, str]:
    """Return the variables of `towonel serve`: all on loopback, state in `folder`."""
    at = {port: f"{HOST}:{number}" for port, number in ports.items()}
    return {
        "TOWONEL_DATA_DIR": str(folder),
        "TOWONEL_LOG_FORMAT": "json",
        "TOWONEL_HUB_LISTEN_ADDR": at[Port.HUB],
        "TOWONEL_HUB_HEALTH_LISTEN_ADDR": at[Port.HUB_HEALTH],
        "TOWONEL_HUB_PUBLIC_URL": f"http://{at[Port.HUB]}",
        "TOWONEL_EDGE_LISTEN_ADDR": at[Port.EDGE],
        "TOWONEL_EDGE_HEALTH_LISTEN_ADDR": at[Port.EDGE_HEALTH],
        "TOWONEL_EDGE_ADVERTISED_ADDRESSES": at[Port.EDGE],
        "TOWONEL_HUB_DRAIN_TIMEOUT_SECS": "3",  # the user waits for it
        "TOWONEL_EDGE_DRAIN_TIMEOUT_SECS": "3",
    }


def agent_environment(ports: Ports, token: str) -> dict[str, str]:
    """Return the variables of the agent; the token and the services are all it needs."""
    origin = f"{HOST}:{ports[Port.ORIGIN]}"  # which does not read PROXY headers
    service = {"hostname": HOSTNAME, "origin": origin, "proxy_protocol": "none"}
    return {
        "TOWONEL_INVITE_TOKEN": token,
        "TOWONEL_AGENT_SERVICES": json.dumps([service]),
        "TOWONEL_AGENT_HEALTH_LISTEN_ADDR": f"{HOST}:{ports[Port.AGENT_HEALTH]}",
        "TOWONEL_AGENT_DRAIN_TIMEOUT_SECS": "3",
        "TOWONEL_LOG_FORMAT": "json",
    }


async def _fail_at_its_end(started: DemoProcess) -> None:
    code = await started.process.wait()
    ended = f"ended with exit code {code}"
    killed = f"was ended by {signal.Signals(-code).name}" if code < 0 else ended
    raise StepFailed(f"{started.name} {killed}", started)
