"""Dialling of an edge by an agent: a link, for as long as a context lasts."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Collection, Iterable
from functools import partial

from towonel.identity.keys import NodeKey
from towonel.tunnel.core.handshake import AgentHandshake, EdgeIdentity
from towonel.tunnel.core.timing import DEFAULT_TIMING, Timing
from towonel.tunnel.link import Link
from towonel.tunnel.quic.address_race import open_any
from towonel.tunnel.quic.udp import Address
from towonel.tunnel.stream_requests import Handle, StreamTasks
from towonel.wire.names import ServiceKey
from towonel.wire.session.balance_hints import NO_HINTS, BalanceHints


@contextlib.asynccontextmanager
async def dial(
    addresses: Iterable[Address],
    *,
    edge: EdgeIdentity,
    key: NodeKey,
    grant: bytes,
    services: Collection[ServiceKey],
    handle: Handle,
    software: str,
    hints: BalanceHints = NO_HINTS,
    timing: Timing = DEFAULT_TIMING,
) -> AsyncGenerator[Link]:
    """Link to an edge while the context lasts; its end closes the link and every stream.

    Args:
        addresses: of its UDP port; the first that answers is used.
        edge: as the hub names it: nothing else is trusted.
        key: the agent's.
        grant: the hub's word for that key.
        services: of this agent.
        handle: serves each client; it runs in a task of its own.
        software: of this agent, for the edge's log; at most 64 characters.
        hints: for load balancers.
        timing: `welcome_s`, `address_delay_s`, `preamble_s`, and those of the connection.

    Raises:
        Denied: with the edge's code, or CERTIFICATE_MISMATCH, EDGE_UNKNOWN.
        ProtocolError: UNSUPPORTED_VERSION and the like.
        Unavailable: SESSION_LOST where no address answers within `welcome_s`.
    """
    edge.check()
    handshake = AgentHandshake(key, grant, services, software, hints)
    async with _hold_link(addresses, edge, handshake, handle, timing) as link:
        yield link


@contextlib.asynccontextmanager
async def _hold_link(
    peers: Iterable[Address],
    edge: EdgeIdentity,
    handshake: AgentHandshake,
    handle: Handle,
    timing: Timing,
) -> AsyncGenerator[Link]:
    """Hold an open link and the tasks of its streams."""
    try:
        async with (
            asyncio.TaskGroup() as tasks,
            StreamTasks(tasks, handle, timing.preamble_s) as streams,
        ):
            with contextlib.ExitStack() as exits:
                make_link = partial(Link, edge, handshake, streams.start, timing)
                yield await open_any(peers, make_link, timing, exits)
    except BaseExceptionGroup as group:  # of one: streams fail on their own
        raise group.exceptions[0] from None
