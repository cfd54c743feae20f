"""Lanes of a raw agent: admitted by a real edge, and spoken byte by byte."""

import asyncio
import contextlib
import socket
import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass

from support.lane_peers import LaneKeys, LanePeer, dial_lane_on
from support.raw_agent import AgentIdentity, RawAgent
from support.relay import WAIT_S
from support.stack import Stack, until

from towonel.client.hub import HubClient
from towonel.wire.messages import Welcome


@dataclass
class RawLanes:
    """Session of a raw agent, to which lanes can be dialed."""

    agent: RawAgent
    identity: AgentIdentity
    address: tuple[str, int]

    async def dial(self, source: str = "127.0.0.1") -> LanePeer:
        """Be admitted as a lane of the session; the caller closes its socket."""
        welcome = await self.agent.message(Welcome)
        assert isinstance(welcome, Welcome)
        edge = self.identity.edge
        assert edge is not None
        assert welcome.lane_secret is not None
        keys = LaneKeys(
            welcome.session_id, welcome.lane_secret, edge.edge_id, edge.certificate_sha256
        )
        sock = socket.create_connection(self.address, WAIT_S, (source, 0))
        return await asyncio.to_thread(dial_lane_on, sock, keys)


@contextlib.asynccontextmanager
async def raw_lanes(stack: Stack, token: str, hostname: str) -> AsyncIterator[RawLanes]:
    """An agent that the edge has admitted, and that can have lanes."""
    async with HubClient(stack.hub_url) as hub:
        identity = await AgentIdentity(token).bootstrap(hub)
    await until(stack.edges_are_up_to_date)
    with RawAgent(stack.edge_port) as agent:
        await agent.connected()
        await agent.hello(identity, hostname)
        yield RawLanes(agent, identity, ("127.0.0.1", stack.edge_port))


@contextlib.contextmanager
def flooding(lanes: Sequence[LanePeer], frames: bytes) -> Iterator[None]:
    """Send whole frames over and over on all lanes, as much as the edge takes."""
    stopping = threading.Event()

    def flood(sock: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while not stopping.is_set():
                sock.sendall(frames)

    threads = [threading.Thread(target=flood, args=[lane.sock]) for lane in lanes]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stopping.set()
        for lane in lanes:
            lane.sock.shutdown(socket.SHUT_RDWR)
        for thread in threads:
            thread.join()
