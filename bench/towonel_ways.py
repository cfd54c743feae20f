"""Ways of Towonel from edge to agent: lanes, of both engines, lanes inside TLS, streams of QUIC, and a TCP service."""

import contextlib
import json
from collections.abc import AsyncIterator, Mapping
from functools import partial
from pathlib import Path

from cells import MAX_CONNECTIONS
from load_driver import HOSTNAME
from process_usage import connections_to
from subject import Entry, Subject, SubjectError
from support.ports import free_port
from support.programs import OwnProcess, Program, own_processes
from support.stack import Node, Stack, service, until

from towonel.agent.settings import AgentSettings
from towonel.runtime.settings import SettingsError, load
from towonel.tunnel.streams import MAX_STREAMS
from towonel.wire.tokens import InviteToken

LANES, ENGINE = "TOWONEL_AGENT_LANES", "TOWONEL_RELAY_ENGINE"
EDGE_WORKERS, AGENT_WORKERS = "TOWONEL_EDGE_LISTEN_WORKERS", "TOWONEL_AGENT_WORKERS"
MAX_WORKERS = 64  # of these settings
STREAMS = "off"
LANES_S = 15.0
ANY_TOKEN = InviteToken("https://hub.example.eu", bytes(16), bytes(32), bytes(32)).encode()


def ways(workers: int = 1) -> list[Subject]:
    """Every way, those too that this tree does not have, with so many workers on each side."""
    named = {
        "lanes": {LANES: "auto", ENGINE: "compiled"},
        "lanes-python": {LANES: "auto", ENGINE: "python"},
        "lanes-tls": {LANES: "tls"},
        "streams": {LANES: STREAMS},
    }
    by_name = [
        Subject(
            name,
            partial(run, way, workers),
            find_obstacle=partial(find_obstacle, way),
            most_connections=MAX_STREAMS if way[LANES] == STREAMS else None,
        )
        for name, way in named.items()
    ]
    return [*by_name, Subject("tcp", partial(run, {LANES: "auto"}, workers, is_tcp=True))]


def find_obstacle(way: Mapping[str, str]) -> str | None:
    """Return why agents of this tree do not have a way, if so."""
    try:
        load(AgentSettings, {"TOWONEL_INVITE_TOKEN": ANY_TOKEN, **way})
    except SettingsError as error:
        return error.problems[0]
    return None


@contextlib.asynccontextmanager
async def run(
    way: Mapping[str, str], workers: int, folder: Path, origin: int, *, is_tcp: bool = False
) -> AsyncIterator[Entry]:
    """Hub, edge and agent as their users start them, with an HTTPS service or a TCP one."""
    async with own_processes(folder, forked=False) as runner:
        stack = Stack(runner, folder / "state")
        hub = await stack.start_hub()
        engine = {ENGINE: way[ENGINE]} if ENGINE in way else {}
        edge = await stack.start_edge(**engine, **{EDGE_WORKERS: str(workers)})
        token = await stack.invite(HOSTNAME)
        environ = {
            **way,
            AGENT_WORKERS: str(workers),
            "TOWONEL_AGENT_MAX_STREAMS": str(2 * MAX_CONNECTIONS),
        }
        services, port = [service(HOSTNAME, origin)], stack.edge_port
        if is_tcp:
            services, port = [], free_port()
            tcp = {"name": "bench", "origin": f"127.0.0.1:{origin}", "listen_port": port}
            environ["TOWONEL_AGENT_TCP_SERVICES"] = json.dumps([tcp])
        agent = await stack.start_agent(token, *services, wait=True, **environ)
        if way[LANES] != STREAMS:
            await _has_lanes(_pid(agent), stack.edge_port)
        yield Entry(port, {"server": _pid(edge), "client": _pid(agent), "hub": _pid(hub)})


async def _has_lanes(agent: int, edge_port: int) -> None:
    """Without lanes an agent goes on with streams, and those are another subject."""
    try:
        await until(lambda: connections_to(agent, edge_port), LANES_S)
    except TimeoutError:
        raise SubjectError(f"its agent has no lane after {LANES_S:.0f} s") from None


def _pid(node: Node[Program]) -> int:
    assert isinstance(node.program, OwnProcess)
    return node.program.process.pid
