"""Keepalive of TCP: a peer that is gone without a word is noticed although nothing is sent to it."""

import socket

IDLE_S, INTERVAL_S, PROBES = 60, 15, 4  # an idle peer that is gone is noticed after two minutes


def keep_alive(sock: socket.socket) -> None:
    """Have the kernel probe an idle peer; the sockets that a listener accepts inherit this (man 7 tcp)."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, IDLE_S)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, INTERVAL_S)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, PROBES)
