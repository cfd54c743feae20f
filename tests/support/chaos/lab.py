"""Lab: a hub and an edge in public, and an agent with its origins at home, behind a bad network."""

import asyncio
import contextlib
import json
import os
import signal
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from support.chaos.bad_network import LOOK_HOME, PUBLIC, BadNetwork, bad_network
from support.chaos.kinds import HOSTNAME, KINDS, Kind, Place
from support.chaos.traffic import attempt
from support.chaos.uses import Origin
from support.origins import Certificates
from support.ports import free_port
from support.programs import OwnProcess, Program, own_processes
from support.stack import Node, Stack, Way, until

TRY_S = 2.0  # of a client who asks whether the agent is back


@dataclass
class Lab:
    """One deployment in its network, and what a scenario does to it."""

    network: BadNetwork
    stack: Stack
    places: dict[Kind[Any], Place]
    origins: list[Origin]

    @property
    def agent(self) -> Node[Program]:
        return self.stack.agents[0]

    def signal_agent(self, number: signal.Signals) -> None:
        """Send a signal to the agent and all its workers."""
        program = self.agent.program
        assert isinstance(program, OwnProcess)
        os.killpg(program.process.pid, number)

    async def kill_agent(self) -> None:
        """Kill the agent and all its workers at once."""
        self.signal_agent(signal.SIGKILL)
        await self.agent.program.kill()

    async def start_agent(self) -> None:
        """Start the killed agent again, as it was."""
        await self.stack.restart(self.agent, wait=False)

    async def is_back(self, *, by_tcp: bool | None = None) -> bool:
        """Whether agent and edge both have their link, over TCP or not if that matters, and new clients of each kind are served."""
        try:
            links = await self.agent.metric("towonel_agent_links_active")
            links_by_tcp = await self.agent.metric("towonel_agent_links_by_tcp")
        except OSError:
            return False
        sessions = await self.stack.edges[0].metric("towonel_edge_active_sessions")
        if (links, sessions) != (1, 1) or by_tcp not in {None, bool(links_by_tcp)}:
            return False
        return all([await self._serves(kind, place) for kind, place in self.places.items()])

    async def count_links(self) -> int:
        """Return how many links the agent has opened since it was started."""
        return int(await self.agent.metric("towonel_agent_edge_connections_accepted_total"))

    async def count_sessions(self) -> int:
        """Return how many sessions the edge has."""
        return int(await self.stack.edges[0].metric("towonel_edge_active_sessions"))

    async def _serves(self, kind: Kind[Any], place: Place) -> bool:
        try:
            async with asyncio.timeout(TRY_S):
                outcome = await attempt(kind, place, kind.ask, 0, asyncio.Event())
        except TimeoutError:
            return False
        return outcome.how == "right"


@contextlib.asynccontextmanager
async def running_lab(folder: Path, seed: int, way: Way) -> AsyncIterator[Lab]:
    """Run a lab, whose agent has its link and is served; nothing is impaired yet."""
    with bad_network(seed) as network:
        async with (
            contextlib.AsyncExitStack() as exits,
            own_processes(folder, networks={"agent": network.home.path}) as runner,
        ):
            stack = Stack(runner, folder / "state", way=way, agent_host=LOOK_HOME)
            await _start_public(stack)
            places, origins = await _start_origins(folder, network, stack.edge_port, exits)
            lab = Lab(network, stack, places, origins)
            await _start_agent(stack, places)
            await until(lab.is_back)
            yield lab


async def _start_public(stack: Stack) -> None:
    hub = f"http://{PUBLIC}:{stack.hub_port}"
    listen = f"0.0.0.0:{stack.hub_port}"
    await stack.start_hub(TOWONEL_HUB_LISTEN_ADDR=listen, TOWONEL_HUB_PUBLIC_URL=hub)
    sessions = f"{PUBLIC}:{free_port()}"
    await stack.start_edge(
        TOWONEL_EDGE_SESSION_LISTEN_ADDR=sessions, TOWONEL_EDGE_ADVERTISED_ADDRESSES=sessions
    )


async def _start_origins(
    folder: Path, network: BadNetwork, edge_port: int, exits: contextlib.AsyncExitStack
) -> tuple[dict[Kind[Any], Place], list[Origin]]:
    certificates = Certificates(folder)
    places = dict[Kind[Any], Place]()
    origins = list[Origin]()
    for kind in KINDS:
        tls = certificates.server(HOSTNAME) if kind.has_tls else None
        listener = network.home.run(kind.listen)
        origins.append(await exits.enter_async_context(kind.serve(listener, tls)))
        public = edge_port if kind.has_tls else free_port()
        places[kind] = Place(origins[-1].port, public, certificates.client())
    return places, origins


async def _start_agent(stack: Stack, places: dict[Kind[Any], Place]) -> None:
    services: dict[str, Any] = {
        kind.variable: json.dumps([kind.describe(place)]) for kind, place in places.items()
    }
    token = await stack.invite(HOSTNAME)
    await stack.start_agent(token, TOWONEL_ALLOW_INSECURE_HUB="true", **services)
