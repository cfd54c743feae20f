"""Binding of an edge's TCP addresses, as its settings name them."""

import socket

from towonel.edge.data_plane.sockets import bind_socket
from towonel.edge.settings import EdgeSettings
from towonel.runtime.environment.ports import listen_error


def bind_for_lanes(
    settings: EdgeSettings, clients: socket.socket, session_port: int
) -> list[socket.socket]:
    """Return a socket bound for lanes, where sessions are elsewhere than clients connect, and no proxy takes lanes.

    Raises:
        SettingsError: the address cannot be used.
    """
    if not settings.session_tcp:
        return []
    host, port = settings.session_address
    if (host, port or session_port) == (settings.listen[0], clients.getsockname()[1]):
        return []
    try:
        return [bind_socket(host, session_port)]
    except OSError as error:
        variable = settings.variable_of("session_listen" if settings.session_listen else "listen")
        raise listen_error(variable, host, session_port, error) from error


def bind_for_clients(settings: EdgeSettings) -> socket.socket:
    """Return a socket bound where clients connect.

    Raises:
        SettingsError: the address cannot be used.
    """
    host, port = settings.listen
    try:
        return bind_socket(host, port)
    except OSError as error:
        raise listen_error(settings.variable_of("listen"), host, port, error) from error
