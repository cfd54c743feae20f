"""Are the ports of the demo free; and if not, which is not, and what it was for."""

import socket

from towonel.cli.demo.plan import HOST, Ports


def taken(ports: Ports) -> list[str]:
    """Return a sentence for each port that something else uses."""
    return [
        f"port {port} ({role}) is in use" for port, role in ports.roles().items() if _used(port)
    ]


def _used(port: int) -> bool:
    return _refused(port, socket.SOCK_STREAM) or _refused(port, socket.SOCK_DGRAM)


def _refused(port: int, kind: socket.SocketKind) -> bool:
    with socket.socket(socket.AF_INET, kind) as probe:
        if kind is socket.SOCK_STREAM:
            # Connections that a demo before this one left in TIME_WAIT are in nobody's way.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return True
    return False
