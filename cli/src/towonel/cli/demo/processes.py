"""Processes of the demo: their ports, environments and logs; all are stopped at the end."""

import asyncio
import contextlib
import json
import signal
import socket
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import httpx

from towonel.cli.demo.page import HOST, HOSTNAME
from towonel.cli.subprocesses import Program, start

READY_S = 30.0
POLL_S = 0.05
DRAIN_S = 5.0  # then a second signal
STOP_S = 15.0  # then SIGKILL, which `towonel serve` never needs: it ends its own by then
TAIL_LINES = 15
_TAIL_BYTES = 64 * 1024


class Ports(NamedTuple):
    """Six ports in a row, all on loopback."""

    edge: int
    origin: int
    hub: int
    hub_health: int
    edge_health: int
    agent_health: int


PORT_ROLES = (
    "the edge, for clients and agents",
    "the service at home",
    "the hub's API",
    "the hub's health",
    "the edge's health",
    "the agent's health",
)


@dataclass(frozen=True, slots=True)
class DemoProcess:
    """A running program and its log."""

    name: str
    process: asyncio.subprocess.Process
    log: Path

    def last_lines(self) -> list[str]:
        with self.log.open("rb") as file:
            file.seek(max(0, self.log.stat().st_size - _TAIL_BYTES))
            return file.read().decode(errors="replace").splitlines()[-TAIL_LINES:]

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
        self.last_lines = process.last_lines() if process else []


@dataclass(slots=True)
class Processes:
    """Programs that run together: one that ends fails whatever is waited for."""

    folder: Path
    tasks: asyncio.TaskGroup
    running: list[DemoProcess] = field(default_factory=list[DemoProcess])
    _one_ended: asyncio.Event = field(default_factory=asyncio.Event)

    async def start(self, program: Program) -> DemoProcess:
        log = self.folder / f"{program.name}.log"
        with log.open("wb") as output:
            started = DemoProcess(program.name, await start(program, output), log)
        self.running.append(started)
        self.tasks.create_task(self._watch(started))
        return started

    async def wait_ready(self, waited: DemoProcess, port: int) -> None:
        """Wait until `/readyz` on a port of loopback answers 200.

        Raises:
            StepFailed: a process ended, or this one was not ready in time.
        """
        try:
            async with (
                asyncio.timeout(READY_S),
                httpx.AsyncClient(base_url=f"http://{HOST}:{port}", trust_env=False) as http,
            ):
                while not await _is_ready(http):
                    self._check_all_run()
                    await asyncio.sleep(POLL_S)
        except TimeoutError:
            reason = f"{waited.name} is not ready after {READY_S:.0f} s"
            raise StepFailed(reason, waited) from None

    async def wait_until_one_ends(self) -> None:
        """Wait until a process ends that should not.

        Raises:
            StepFailed: when one has.
        """
        await self._one_ended.wait()
        self._check_all_run()

    def _check_all_run(self) -> None:
        for each in self.running:
            code = each.process.returncode
            if code is not None:
                ended = f"ended with exit code {code}"
                killed = f"was ended by {signal.Signals(-code).name}" if code < 0 else ended
                raise StepFailed(f"{each.name} {killed}", each)

    async def _watch(self, started: DemoProcess) -> None:
        await started.process.wait()
        self._one_ended.set()


@contextlib.asynccontextmanager
async def run_processes(folder: Path) -> AsyncGenerator[Processes]:
    """Yield an empty set of processes; at the end all are stopped, the last started first."""
    async with asyncio.TaskGroup() as tasks:
        processes = Processes(folder, tasks)
        try:
            yield processes
        finally:
            for each in reversed(processes.running):
                await each.stop()


def serve_environment(ports: Ports, folder: Path) -> dict[str, str]:
    """Return the variables of `towonel serve`: all on loopback, state in `folder`."""
    return {
        "TOWONEL_DATA_DIR": str(folder),
        "TOWONEL_LOG_FORMAT": "json",
        "TOWONEL_HUB_LISTEN_ADDR": f"{HOST}:{ports.hub}",
        "TOWONEL_HUB_HEALTH_LISTEN_ADDR": f"{HOST}:{ports.hub_health}",
        "TOWONEL_HUB_PUBLIC_URL": f"http://{HOST}:{ports.hub}",
        "TOWONEL_EDGE_LISTEN_ADDR": f"{HOST}:{ports.edge}",
        "TOWONEL_EDGE_HEALTH_LISTEN_ADDR": f"{HOST}:{ports.edge_health}",
        "TOWONEL_EDGE_ADVERTISED_ADDRESSES": f"{HOST}:{ports.edge}",
        "TOWONEL_EDGE_DRAIN_TIMEOUT_SECS": "3",  # the user waits for it
    }


def agent_environment(ports: Ports, token: str) -> dict[str, str]:
    """Return the variables of the agent; the token and the services are all it needs."""
    service = {
        "hostname": HOSTNAME,
        "origin": f"{HOST}:{ports.origin}",
        "proxy_protocol": "none",  # this origin does not read PROXY headers
    }
    return {
        "TOWONEL_INVITE_TOKEN": token,
        "TOWONEL_AGENT_SERVICES": json.dumps([service]),
        "TOWONEL_AGENT_HEALTH_LISTEN_ADDR": f"{HOST}:{ports.agent_health}",
        "TOWONEL_AGENT_DRAIN_TIMEOUT_SECS": "3",
        "TOWONEL_LOG_FORMAT": "json",
    }


def ports_in_use(ports: Ports) -> list[str]:
    """Return a sentence for each port that another program uses."""
    return [
        f"port {port} ({role}) is in use"
        for port, role in zip(ports, PORT_ROLES, strict=True)
        if not (_can_bind(port, socket.SOCK_STREAM) and _can_bind(port, socket.SOCK_DGRAM))
    ]


def _can_bind(port: int, kind: socket.SocketKind) -> bool:
    with socket.socket(socket.AF_INET, kind) as probe:
        if kind is socket.SOCK_STREAM:
            # Connections that an earlier demo left in TIME_WAIT do not matter.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


async def _is_ready(http: httpx.AsyncClient) -> bool:
    try:
        return (await http.get("/readyz")).is_success
    except httpx.TransportError:
        return False
