"""Binding of an edge's TCP addresses."""

import socket

import pytest

from towonel.edge.data_plane.binding import bind_for_clients, bind_for_lanes
from towonel.edge.settings import EdgeSettings
from towonel.runtime.settings import load


def bind(**environ: str) -> tuple[socket.socket, list[socket.socket]]:
    """Bind what an edge would whose sessions took a port of UDP that is free for TCP, too."""
    base = {"TOWONEL_DATA_DIR": "/state", "TOWONEL_EDGE_LISTEN_ADDR": "127.0.0.1:0"}
    settings = load(EdgeSettings, base | environ)
    clients = bind_for_clients(settings)
    with socket.socket() as spare:
        spare.bind(("127.0.0.1", 0))
        port = spare.getsockname()[1]
    return clients, bind_for_lanes(settings, clients, port)


@pytest.mark.parametrize(("session_tcp", "count"), [("true", 1), ("false", 0)])
def test_lanes_have_a_listener_beside_that_of_clients_unless_a_proxy_takes_them(
    session_tcp: str, count: int
) -> None:
    clients, lanes = bind(
        TOWONEL_EDGE_SESSION_LISTEN_ADDR="127.0.0.1:0", TOWONEL_EDGE_SESSION_TCP=session_tcp
    )
    for sock in (clients, *lanes):
        sock.close()

    assert len(lanes) == count
