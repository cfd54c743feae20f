"""Paths of a benchmark: direct, through Towonel, through HAProxy twice."""

import contextlib
import shutil
from asyncio import create_subprocess_exec, timeout
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

from support.origins import listening
from support.ports import free_port
from support.programs import own_processes
from support.stack import Stack, service

type Origins = Mapping[str, int]
DOMAIN = "bench.example.eu"


def hostname(workload: str) -> str:
    return f"{workload}.{DOMAIN}"


@contextlib.asynccontextmanager
async def direct(folder: Path, origins: Origins) -> AsyncIterator[Origins]:
    """No tunnel: the limit of this machine."""
    yield origins


@contextlib.asynccontextmanager
async def towonel(folder: Path, origins: Origins) -> AsyncIterator[Origins]:
    """Hub, edge and agent as their users start them."""
    async with own_processes(folder, forked=False) as runner:
        stack = Stack(runner, folder / "state")
        await stack.start_hub()
        await stack.start_edge()
        services = [service(hostname(name), port) for name, port in origins.items()]
        await stack.start_agent(await stack.invite(f"*.{DOMAIN}"), *services)
        yield dict.fromkeys(origins, stack.edge_port)


HAPROXY = """
global
  maxconn 4000
defaults
  mode tcp
  timeout connect 5s
  timeout client 60s
  timeout server 60s
frontend edge
  bind 127.0.0.1:{edge}
  tcp-request inspect-delay 5s
  tcp-request content accept if {{ req_ssl_hello_type 1 }}
  default_backend home
backend home
  server home 127.0.0.1:{home}
frontend home
  bind 127.0.0.1:{home}
  tcp-request inspect-delay 5s
  tcp-request content accept if {{ req_ssl_hello_type 1 }}
  use_backend %[req_ssl_sni]
"""


@contextlib.asynccontextmanager
async def haproxy(folder: Path, origins: Origins) -> AsyncIterator[Origins]:
    """The two hops of a tunnel as two passes through HAProxy, nothing encrypted in between."""
    edge, home = free_port(), free_port()
    backends = "".join(
        f"backend {hostname(name)}\n  server origin 127.0.0.1:{port}\n"
        for name, port in origins.items()
    )
    configuration = folder / "haproxy.cfg"
    configuration.write_text(HAPROXY.format(edge=edge, home=home) + backends)
    process = await create_subprocess_exec("haproxy", "-f", str(configuration))
    try:
        await listening(edge)
        yield dict.fromkeys(origins, edge)
    finally:
        process.terminate()
        async with timeout(10):
            await process.wait()


PATHS = {"direct": direct, "towonel": towonel, "haproxy": haproxy}
NEEDS = {"haproxy": "haproxy"}


def available(names: list[str]) -> list[str]:
    """Those of the paths whose program is on this machine."""
    return [name for name in names if shutil.which(NEEDS.get(name, "true"))]
