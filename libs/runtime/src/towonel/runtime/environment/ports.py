"""Ports of this machine: the error of an address that cannot be listened on, with one that can."""

import errno
import socket
from collections.abc import Iterator

from towonel.runtime.addresses import format_address
from towonel.runtime.settings import SettingsError

_UNPRIVILEGED = 8_000  # added to a port that takes a privilege
_TRIED = 50
_KINDS = (socket.SOCK_STREAM, socket.SOCK_DGRAM)  # some take one port for both


def listen_error(
    variable: str,
    host: str,
    port: int,
    error: OSError,
) -> SettingsError:
    """Return the error of an address that cannot be listened on, with what to set instead.

    Args:
        variable: that names the address; empty where there is none.
        host: of the address.
        port: of the address.
        error: what the system said.
    """
    start = f"{variable}: " if variable else ""
    reason = f"{start}cannot listen on {format_address(host, port)}: {error.strerror or error}"
    advice = _advise(variable, host, port, error)
    return SettingsError([f"{reason}; {advice}" if advice else reason])


def describe_busy(variable: str, host: str, port: int, *, is_shared: bool) -> str | None:
    """Return why a TCP address cannot be listened on now, with one that can, or None.

    Args:
        variable: that names the address.
        host: of the address.
        port: of the address; 0 is any free one.
        is_shared: whether the listener shares it with others of this user that do.
    """
    if not port:
        return None
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if is_shared:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            return str(listen_error(variable, host, port, error))
    return None


def _advise(variable: str, host: str, port: int, error: OSError) -> str | None:
    if error.errno == errno.EADDRNOTAVAIL:
        return f"no network of this machine has it; {variable or 'an address'}=0.0.0.0:{port} takes all"
    if error.errno not in {errno.EADDRINUSE, errno.EACCES, errno.EPERM}:
        return None
    free = next((one for one in _candidates(port) if is_free(host, one)), None)
    if free is None:
        return None
    hint = (
        "it takes a privilege (CAP_NET_BIND_SERVICE); " if error.errno != errno.EADDRINUSE else ""
    )
    found = f"port {free} is free"
    return f"{hint}{found}: {variable}={format_address(host, free)}" if variable else hint + found


def _candidates(port: int) -> Iterator[int]:
    for first in (port, port + _UNPRIVILEGED):
        yield from range(first + 1, min(first + _TRIED, 65_536))


def is_free(host: str, port: int) -> bool:
    """Whether a port can be listened on, for TCP and for UDP."""
    return all(_can_bind(host, port, kind) for kind in _KINDS)


def _can_bind(host: str, port: int, kind: socket.SocketKind) -> bool:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family, kind) as probe:
            if kind is socket.SOCK_STREAM:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
    except OSError:
        return False
    return True
