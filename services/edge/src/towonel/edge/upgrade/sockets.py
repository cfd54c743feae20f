"""Sockets of an edge that change hands in an upgrade."""

import os
import socket
from collections.abc import Mapping
from pathlib import Path

import structlog

from towonel.edge.data_plane.control import DataPlane
from towonel.edge.upgrade.predecessor import Predecessor
from towonel.edge.upgrade.successor import Successors
from towonel.relay.flows.sockets import bind_beside_quic
from towonel.tunnel.listener import Listener

log: structlog.stdlib.BoundLogger = structlog.get_logger()


def make_successors(folder: Path, agents: Listener, plane: DataPlane) -> Successors:
    """Return what hands an edge's sockets to a successor.

    Args:
        folder: the edge's state.
        agents: takes sessions.
        plane: has all other sockets.
    """
    flows = plane.flows
    return Successors(
        folder,
        agents,
        lambda: [agents.endpoint.duplicate(), *map(_duplicate, (*plane.clients, *plane.lanes))],
        lambda: {
            "ports": _duplicate_all(plane.ports.sockets),
            "udp_ports": _duplicate_all(flows.ports.sockets),
        },
        lambda: [] if flows.sealed is None else [_duplicate(flows.sealed)],
    )


def take_sealed(
    host: str, agents: Listener, predecessor: Predecessor | None
) -> socket.socket | None:
    """Return the socket of sealed packets, which has the port of the sessions; None where there can be none."""
    if predecessor is not None:
        return predecessor.take_sealed()
    try:
        return bind_beside_quic(host, agents.port)
    except OSError as error:
        log.warning("datagrams.unavailable", error=str(error))
        return None


def _duplicate(sock: socket.socket) -> int:
    return os.dup(sock.fileno())


def _duplicate_all(sockets: Mapping[int, socket.socket]) -> dict[int, int]:
    return {port: _duplicate(sock) for port, sock in sockets.items()}
