"""Stack: one hub, its edges and agents on loopback, whichever way the programs run."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from support import plain_http
from support.engine import ENGINE
from support.hub import migrated
from support.polling import pauses
from support.ports import free_port
from support.programs import Name, Program, Runner, in_process, own_processes

from towonel.api.invites import InviteIn, InviteOut
from towonel.client.hub import HubClient

type Way = Literal["lanes", "TLS lanes", "streams", "any"]
_MODES: dict[Way, str] = {"lanes": "auto", "TLS lanes": "tls", "streams": "off", "any": "auto"}
READY_S = 40.0  # on a machine with much else to do


@dataclass
class Node[P: Program]:
    """A program of the stack, and where it listens."""

    program: P
    port: int
    health_port: int
    environ: dict[str, str]
    health_host: str = "127.0.0.1"

    async def metric(self, name: str, **labels: str) -> float:
        """The sum of the samples of a metric that carry these labels."""
        text = (await plain_http.get(self.health_port, "/metrics", self.health_host)).text
        assert f"# TYPE {name} " in text, f"there is no metric {name}"
        wanted = [f'{key}="{value}"' for key, value in labels.items()]
        return sum(
            float(line.rsplit(" ", 1)[1])
            for line in text.splitlines()
            if line.startswith((f"{name} ", f"{name}{{")) and all(w in line for w in wanted)
        )

    async def reaches(self, value: float, name: str, **labels: str) -> None:
        """Wait until a metric is at least so high: what workers count comes in reports."""
        async with asyncio.timeout(READY_S):
            for pause_s in pauses():
                if await self.metric(name, **labels) >= value:
                    return
                await asyncio.sleep(pause_s)


def service(hostname: str, origin: int, proxy_protocol: str = "none") -> dict[str, str]:
    return {
        "hostname": hostname,
        "origin": f"127.0.0.1:{origin}",
        "proxy_protocol": proxy_protocol,
    }


@dataclass
class Stack:
    """The parts of one deployment; `start_*` returns once the part says it is ready."""

    runner: Runner
    folder: Path
    redis_url: str | None = None
    hub_port: int = field(default_factory=free_port)
    hub: Node[Program] | None = None
    edges: list[Node[Program]] = field(default_factory=list)
    agents: list[Node[Program]] = field(default_factory=list)
    way: Way = "any"  # of clients between edge and agent
    agent_host: str = "127.0.0.1"  # where agents say how they are

    @property
    def hub_url(self) -> str:
        return f"http://127.0.0.1:{self.hub_port}"

    @property
    def edge_port(self) -> int:
        return self.edges[0].port

    async def start_hub(self, **extra: str) -> Node[Program]:
        """Start the hub; a new one on SQLite finds a migrated database, which takes long to make."""
        database = self.folder / "hub.db"
        if "TOWONEL_HUB_DB_DSN" not in extra and not database.exists():
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            await migrated(database)
        environ = {
            **self._shared(),
            "TOWONEL_HUB_LISTEN_ADDR": f"127.0.0.1:{self.hub_port}",
            "TOWONEL_HUB_PUBLIC_URL": self.hub_url,
            **extra,
        }
        self.hub = await self._start("hub", self.hub_port, environ, "TOWONEL_HUB")
        return self.hub

    async def start_edge(self, token: str | None = None, **extra: str) -> Node[Program]:
        """Start an edge: the hub's own beside it, or one with a token and a folder of its own."""
        port = free_port()
        own = self.folder / f"edge-{port}"
        environ = {
            **self._shared(),
            **({"TOWONEL_EDGE_INVITE_TOKEN": token, "TOWONEL_DATA_DIR": str(own)} if token else {}),
            "TOWONEL_EDGE_HUB_URL": self.hub_url,
            "TOWONEL_EDGE_LISTEN_ADDR": f"127.0.0.1:{port}",
            "TOWONEL_EDGE_ADVERTISED_ADDRESSES": f"127.0.0.1:{port}",
            **extra,
        }
        self.edges.append(await self._start("edge", port, environ, "TOWONEL_EDGE"))
        return self.edges[-1]

    async def start_agent(
        self, token: str, *services: Mapping[str, object], wait: bool = True, **extra: str
    ) -> Node[Program]:
        environ = {
            "TOWONEL_INVITE_TOKEN": token,
            "TOWONEL_AGENT_SERVICES": json.dumps(services),
            "TOWONEL_AGENT_LANES": _MODES[self.way],
            "TOWONEL_RELAY_ENGINE": ENGINE.value,
            **extra,
        }
        self.agents.append(await self._start("agent", 0, environ, "TOWONEL_AGENT", wait=wait))
        if wait:
            await until(self.edges_are_up_to_date)
        if wait and self.way in {"lanes", "TLS lanes"}:
            await self.agents[-1].reaches(2, "towonel_agent_lanes", state="idle")
        return self.agents[-1]

    async def edges_are_up_to_date(self) -> bool:
        """Whether every edge has the routes of the hub's newest revision."""
        assert self.hub, "the hub is started first"
        newest = await self.hub.metric("towonel_hub_routes_revision")
        return {await edge.metric("towonel_edge_route_revision") for edge in self.edges} == {newest}

    async def invite(self, *hostnames: str) -> str:
        return (await self.new_invite(*hostnames)).token

    async def new_invite(self, *hostnames: str) -> InviteOut:
        async with self.operator() as client:
            return await client.invites.create(InviteIn(hostnames=list(hostnames)))

    def operator(self) -> HubClient:
        key = (self.folder / "operator.key").read_text().strip()
        return HubClient(self.hub_url, operator_key=key)

    async def stop_agents(self) -> None:
        """End the agents, so that the next test begins without any."""
        for agent in self.agents:
            await agent.program.stop()
        self.agents.clear()

    async def restart(self, node: Node[Program], *, wait: bool = True) -> None:
        """Start an ended part again, with the environment it had."""
        name: Name = "edge" if node in self.edges else "agent" if node in self.agents else "hub"
        node.program = await self.runner.start(name, node.environ)
        if wait:
            await ready(node)

    async def _start(
        self, name: Name, port: int, environ: dict[str, str], prefix: str, *, wait: bool = True
    ) -> Node[Program]:
        health_host = self.agent_host if name == "agent" else "127.0.0.1"
        health_port = free_port()
        environ |= {f"{prefix}_HEALTH_LISTEN_ADDR": f"{health_host}:{health_port}"}
        program = await self.runner.start(name, environ)
        node = Node(program, port, health_port, environ, health_host)
        if wait:
            await ready(node)
        return node

    def _shared(self) -> dict[str, str]:
        redis = {"TOWONEL_REDIS_URL": self.redis_url} if self.redis_url else {}
        shared = {"TOWONEL_LOG_LEVEL": "info", "TOWONEL_RELAY_ENGINE": ENGINE.value}
        return {"TOWONEL_DATA_DIR": str(self.folder), **shared, **redis}


@contextlib.asynccontextmanager
async def running_stack(
    kind: str, folder: Path, redis_url: str | None = None, **edge_environ: str
) -> AsyncIterator[Stack]:
    """Run a hub and its edge: `in-process`, as forked `processes`, or as `commands`."""
    async with (
        in_process()
        if kind == "in-process"
        else own_processes(folder, forked=kind != "commands") as runner
    ):
        stack = Stack(runner, folder / "state", redis_url)
        await stack.start_hub()
        await stack.start_edge(**edge_environ)
        yield stack


async def ready(node: Node[Program]) -> None:
    """Wait until `/readyz` answers 200."""

    async def says_ready() -> bool:
        try:
            return (await plain_http.get(node.health_port, "/readyz", node.health_host)).is_success
        except OSError:
            return False

    try:
        await until(says_ready, READY_S)
    except TimeoutError:
        raise AssertionError(f"not ready within {READY_S} s\n{node.program.log()}") from None


async def settle(stack: Stack, at_origin: Callable[[], int]) -> None:
    """Wait until an edge, its agent and the origin, which tells its own, have no connection left."""

    async def nothing_left() -> bool:
        clients = await stack.edges[0].metric("towonel_edge_active_connections")
        streams = await stack.agents[0].metric("towonel_agent_streams_active")
        in_use = await stack.edges[0].metric("towonel_edge_lanes", state="in_use")
        return not (clients or streams or in_use or at_origin())

    await until(nothing_left)


async def until(condition: Callable[[], object], within_s: float = 20.0) -> None:
    """Wait for a condition, asked again and again; a coroutine function is awaited."""
    async with asyncio.timeout(within_s):
        for pause_s in pauses():
            if await _value(condition()):
                return
            await asyncio.sleep(pause_s)


async def _value(value: object) -> object:
    return await value if asyncio.iscoroutine(value) else value
