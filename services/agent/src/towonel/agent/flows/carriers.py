"""Carriers of an agent: what comes to its loopback port over lanes are sealed packets, where UDP does not pass."""

import socket
from collections.abc import Callable
from typing import Final, override

from towonel.agent.flows.flows import Flows
from towonel.relay.flows.carrier import IDLE_S, Carrier, listen_on_loopback
from towonel.relay.loop import READABLE, Handler, Loop

MAX_CARRIERS: Final = 64  # the one that carried nothing for longest goes for another


class CarrierListener(Handler):
    """Listener on a loopback port; whoever connects has to send what an edge has sealed.

    Args:
        loop: of the worker.
        flows: take the packets.
        report_crash: is told of an exception that is a bug.

    Raises:
        OSError: there is no port.
    """

    def __init__(self, loop: Loop, flows: Flows, report_crash: Callable[[Exception], None]) -> None:
        self._loop = loop
        self._flows = flows
        self._report_crash = report_crash
        self._carriers: dict[Carrier, None] = {}
        self._sock = listen_on_loopback(MAX_CARRIERS)
        loop.add(self._sock.fileno(), self)

    @property
    def port(self) -> int:
        """The port."""
        port: int = self._sock.getsockname()[1]
        return port

    def tick(self, now: float) -> None:
        """Close carriers that nobody uses."""
        for carrier in tuple(self._carriers):
            if carrier.is_idle(now, IDLE_S):
                carrier.close()

    @override
    def on_ready(self, events: int) -> None:
        if events & READABLE and self._accept():
            self._loop.queue(self)

    @override
    def take_turn(self) -> bool:
        return self._accept()

    @override
    def crash(self, error: Exception) -> None:
        self._report_crash(error)

    def _accept(self) -> bool:
        """Take one connection, and return whether there may be more."""
        try:
            sock, _ = self._sock.accept()
        except OSError:
            return False
        if len(self._carriers) >= MAX_CARRIERS:
            min(self._carriers, key=lambda each: each.used_at).close()
        self._carriers[self._make(sock)] = None
        return True

    def _make(self, sock: socket.socket) -> Carrier:
        return Carrier(self._loop, sock, self._flows.take_carried, self._forget, self._report_crash)

    def _forget(self, carrier: Carrier) -> None:
        self._carriers.pop(carrier, None)
        self._flows.forget_carrier(carrier)
