"""Processes of the demo: their ports, environments and logs."""

import asyncio
import contextlib
import json
import re
import signal
from collections.abc import AsyncGenerator, Mapping
from enum import StrEnum
from pathlib import Path

from towonel.cli.demo.page import HOST, HOSTNAME, fetch
from towonel.cli.settings import foreign_environment
from towonel.cli.subprocesses import Program, start

READY_S = 60.0  # slow machines compile the programs first
STOP_S = 20.0  # then SIGKILL, which none needs: it has drained in one second
TAIL_LINES = 15


class Port(StrEnum):
    """Ports of the demo, in a row on loopback, and what uses each."""

    EDGE = "the edge, for clients and agents"
    ORIGIN = "the service at home"
    HUB = "the hub's API"
    HUB_HEALTH = "the hub's health"
    EDGE_HEALTH = "the edge's health"
    AGENT_HEALTH = "the agent's health"


class StepFailed(Exception):
    """A step of the demo failed: the reason, and the log of the program concerned if there is one."""

    def __init__(self, reason: str, log: Path | None = None) -> None:
        super().__init__(reason)
        self.program = log.stem if log else None
        lines = log.read_text(errors="replace").splitlines() if log else []
        self.last_lines = lines[-TAIL_LINES:]


@contextlib.asynccontextmanager
async def run_program(
    program: Program, folder: Path, patience_s: float = READY_S
) -> AsyncGenerator[Path]:
    """Run a program while the context lasts, and yield its log once it is ready.

    Raises:
        StepFailed: it is not ready in time, or ends by itself, which cancels what the context does.
    """
    log = folder / f"{program.name}.log"
    with log.open("wb") as output:
        process = await start(program, output)
    try:
        async with asyncio.TaskGroup() as tasks:
            watch = tasks.create_task(_fail_at_end(process, log))
            await _wait_ready(program, patience_s, log)
            yield log
            watch.cancel()
    except ExceptionGroup as failures:
        raise failures.exceptions[0] from None
    finally:
        await _stop(process)


async def _fail_at_end(process: asyncio.subprocess.Process, log: Path) -> None:
    code = await process.wait()
    ended = f"ended with exit code {code}"
    killed = f"was ended by {signal.Signals(-code).name}" if code < 0 else ended
    raise StepFailed(f"{log.stem} {killed}", log)


async def _wait_ready(program: Program, patience_s: float, log: Path) -> None:
    """Wait until each health address that a program is given says that it is ready."""
    for name, address in program.environ.items():
        if re.fullmatch(r"TOWONEL_\w+_HEALTH_LISTEN_ADDR", name):
            try:
                await fetch(f"http://{address}/readyz", patience_s)
            except TimeoutError as error:
                reason = f"{program.name} is not ready after {patience_s:.0f} s"
                raise StepFailed(reason, log) from error


async def _stop(process: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
    killing = asyncio.get_running_loop().call_later(STOP_S, process.kill)
    await process.wait()
    killing.cancel()


def serve_program(ports: Mapping[Port, int], folder: Path) -> Program:
    """Return `towonel serve` with its variables: all on loopback, state in `folder`."""
    at = {port: f"{HOST}:{number}" for port, number in ports.items()}
    environ = {
        "TOWONEL_DATA_DIR": str(folder),
        "TOWONEL_HUB_LISTEN_ADDR": at[Port.HUB],
        "TOWONEL_HUB_HEALTH_LISTEN_ADDR": at[Port.HUB_HEALTH],
        "TOWONEL_EDGE_LISTEN_ADDR": at[Port.EDGE],
        "TOWONEL_EDGE_HEALTH_LISTEN_ADDR": at[Port.EDGE_HEALTH],
        "TOWONEL_HUB_DRAIN_TIMEOUT_SECS": "1",  # the user waits for it
        "TOWONEL_EDGE_DRAIN_TIMEOUT_SECS": "1",
    }
    return Program("serve", "towonel.cli", foreign_environment() | environ, ("serve",))


def agent_program(ports: Mapping[Port, int], token: str) -> Program:
    """Return the agent with its variables; the token and the services are all it needs."""
    origin = f"{HOST}:{ports[Port.ORIGIN]}"  # which does not read PROXY headers
    service = {"hostname": HOSTNAME, "origin": origin, "proxy_protocol": "none"}
    environ = {
        "TOWONEL_INVITE_TOKEN": token,
        "TOWONEL_AGENT_SERVICES": json.dumps([service]),
        "TOWONEL_AGENT_HEALTH_LISTEN_ADDR": f"{HOST}:{ports[Port.AGENT_HEALTH]}",
        "TOWONEL_AGENT_DRAIN_TIMEOUT_SECS": "1",
    }
    return Program("agent", "towonel.agent", foreign_environment() | environ)
