"""Shared parts of an edge's workers: counts of clients and lanes, and use of limits, in rows of one memory; listening sockets."""

import socket
from collections.abc import Sequence
from typing import Final, override

from towonel.edge.core.shared_clients import Columns, SharedClients, plan_columns
from towonel.edge.core.shared_use import COLUMNS, SharedLimits
from towonel.edge.worker.messages import Start
from towonel.relay.core.lane_counts import LaneCounts, count_columns
from towonel.relay.shared_rows import Row, map_rows

POOLS: Final = 2  # of a session's lanes; the places of those inside TLS are behind all others


def count_all_columns(start: Start) -> tuple[int, Columns]:
    """Return the numbers of a row: about lanes, and about clients behind them."""
    return count_columns(POOLS * start.sessions), plan_columns(start.clients, start.workers)


def count_rows(start: Start) -> tuple[int, int]:
    """Return how many rows there are, and their numbers; behind those of workers are control's and the flow worker's."""
    of_lanes, of_clients = count_all_columns(start)
    return start.workers + 2, of_lanes + of_clients.total + COLUMNS


def share_limits(start: Start, rows: Sequence[Row], own: int) -> SharedLimits:
    """Return the limits of tenants in what processes share; `own` is the row of this one."""
    return SharedLimits([row[-COLUMNS:] for row in rows], own, start.secret)


def map_shared(
    start: Start, descriptor: int
) -> tuple[LaneCounts, SharedClients | None, SharedLimits]:
    """Return counts of lanes and clients, and limits, in what workers share; no clients where there is one worker."""
    of_lanes, of_clients = count_all_columns(start)
    rows = map_rows(descriptor, *count_rows(start))
    limits = share_limits(start, rows, start.number)
    of_workers = rows[: start.workers]
    lanes = LaneCounts([row[:of_lanes] for row in of_workers], start.number)
    if start.workers == 1:
        return lanes, None, limits
    clients = [row[of_lanes:] for row in of_workers]
    return lanes, SharedClients(clients, start.number, of_clients.places, start.secret), limits


class Listener(socket.socket):
    """Listening socket: `accept` asks for its family and type each time, which are looked up in enums."""

    def __init__(self, descriptor: int) -> None:
        super().__init__(fileno=descriptor)
        self.setblocking(False)
        self._family, self._type = super().family, super().type

    @property
    @override
    def family(self) -> socket.AddressFamily:
        return self._family

    @property
    @override
    def type(self) -> socket.SocketKind:
        return self._type


def to_socket(descriptor: int) -> socket.socket:
    """Return the socket of a descriptor that has come, non-blocking."""
    sock = socket.socket(fileno=descriptor)
    sock.setblocking(False)
    return sock
