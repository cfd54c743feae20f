"""Processes of the demo: their ports, environments and logs."""

import asyncio
import contextlib
import json
import signal
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

import httpx

from towonel.cli.demo.page import HOST, HOSTNAME, FetchFailed, retry
from towonel.cli.subprocesses import Program, start
from towonel.runtime.environment.ports import is_free

READY_S = 60.0  # slow machines compile the programs first
DRAIN_S = 5.0  # then a second signal
STOP_S = 15.0  # then SIGKILL, which `towonel serve` never needs: it ends its own by then
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
        """End it and wait until it has: drain, then a second signal, then SIGKILL."""
        for timeout_s in (DRAIN_S, STOP_S):
            self.signal(signal.SIGTERM)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(timeout_s):
                    await self.process.wait()
                    return
        self.signal(signal.SIGKILL)
        await self.process.wait()


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
    running: list[DemoProcess] = field(default_factory=list[DemoProcess])
    _watches: list[asyncio.Task[None]] = field(default_factory=list[asyncio.Task[None]])

    async def start(self, program: Program) -> DemoProcess:
        log = self.folder / f"{program.name}.log"
        with log.open("wb") as output:
            started = DemoProcess(program.name, await start(program, output), log)
        self.running.append(started)
        self._watches.append(self.tasks.create_task(_fail_at_its_end(started)))
        return started

    async def stop(self) -> None:
        """End all, the last started first."""
        for watch in self._watches:
            watch.cancel()
        for each in reversed(self.running):
            await each.stop()


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
    return {
        "TOWONEL_DATA_DIR": str(folder),
        "TOWONEL_LOG_FORMAT": "json",
        "TOWONEL_HUB_LISTEN_ADDR": f"{HOST}:{ports[Port.HUB]}",
        "TOWONEL_HUB_HEALTH_LISTEN_ADDR": f"{HOST}:{ports[Port.HUB_HEALTH]}",
        "TOWONEL_HUB_PUBLIC_URL": f"http://{HOST}:{ports[Port.HUB]}",
        "TOWONEL_EDGE_LISTEN_ADDR": f"{HOST}:{ports[Port.EDGE]}",
        "TOWONEL_EDGE_HEALTH_LISTEN_ADDR": f"{HOST}:{ports[Port.EDGE_HEALTH]}",
        "TOWONEL_EDGE_ADVERTISED_ADDRESSES": f"{HOST}:{ports[Port.EDGE]}",
        "TOWONEL_EDGE_DRAIN_TIMEOUT_SECS": "3",  # the user waits for it
    }


def agent_environment(ports: Ports, token: str) -> dict[str, str]:
    """Return the variables of the agent; the token and the services are all it needs."""
    service = {
        "hostname": HOSTNAME,
        "origin": f"{HOST}:{ports[Port.ORIGIN]}",
        "proxy_protocol": "none",  # this origin does not read PROXY headers
    }
    return {
        "TOWONEL_INVITE_TOKEN": token,
        "TOWONEL_AGENT_SERVICES": json.dumps([service]),
        "TOWONEL_AGENT_HEALTH_LISTEN_ADDR": f"{HOST}:{ports[Port.AGENT_HEALTH]}",
        "TOWONEL_AGENT_DRAIN_TIMEOUT_SECS": "3",
        "TOWONEL_LOG_FORMAT": "json",
    }


def ports_in_use(ports: Ports) -> list[str]:
    """Return a sentence for each port that another program uses."""
    return [
        f"port {number} ({port}) is in use"
        for port, number in ports.items()
        if not is_free(HOST, number)
    ]


async def _fail_at_its_end(started: DemoProcess) -> None:
    code = await started.process.wait()
    ended = f"ended with exit code {code}"
    killed = f"was ended by {signal.Signals(-code).name}" if code < 0 else ended
    raise StepFailed(f"{started.name} {killed}", started)
