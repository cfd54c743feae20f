"""Addresses of this machine, for an edge that is not told by which of them agents reach it."""

import contextlib
import socket
from collections.abc import Iterable

import structlog

from towonel.edge.settings import EdgeSettings
from towonel.runtime.addresses import WILDCARDS
from towonel.wire.addresses import format_address

# Of networks that no machine has (RFC 5737, RFC 3849): the way to them is the way to all others.
_ELSEWHERE = {socket.AF_INET: "192.0.2.1", socket.AF_INET6: "2001:db8::1"}
log: structlog.stdlib.BoundLogger = structlog.get_logger()


def find_addresses(settings: EdgeSettings, session_port: int) -> list[str]:
    """Return what agents dial: what the settings say, or a guess."""
    configured = settings.agent_addresses(session_port)
    return configured or guess_addresses(settings.session_address[0], session_port)


def guess_addresses(listen_host: str, port: int) -> list[str]:
    """Return what agents may dial: this machine's addresses towards other networks, else loopback.

    Behind a NAT, agents elsewhere cannot dial them, so the log names what was guessed.
    """
    families = tuple(_ELSEWHERE) if listen_host == "::" else (socket.AF_INET,)
    hosts = find_sources(families)
    found = [format_address(host, port) for host in hosts or [WILDCARDS[listen_host]]]
    log.warning("addresses.guessed", addresses=found, unset="TOWONEL_EDGE_ADVERTISED_ADDRESSES")
    return found


def find_sources(families: Iterable[socket.AddressFamily] = _ELSEWHERE) -> list[str]:
    """Return this machine's addresses towards other networks."""
    return [host for family in families for host in _find_source(family)]


def _find_source(family: socket.AddressFamily) -> list[str]:
    """Return the address from which this machine would send to other networks; nothing is sent."""
    with contextlib.suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as probe:
        probe.connect((_ELSEWHERE[family], 9))
        return [probe.getsockname()[0]]
    return []
