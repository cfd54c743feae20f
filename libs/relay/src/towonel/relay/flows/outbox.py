"""Outbox of a UDP socket: what a round of the loop sends to one address leaves in one call, which the kernel cuts.

    send, send, send ──▶ run of datagrams of one size, the last of which may be shorter ──▶ UDP_SEGMENT

A run ends where another sender, address or size comes, once it is full, and with the round.
"""

import errno
from collections.abc import Callable
from typing import Final, Protocol, override

from towonel.relay.flows.sockets import DatagramSocket, Endpoint
from towonel.relay.loop import Flusher, Loop

MAX_RUN: Final = 16  # datagrams; more would let the other end wait for its first work
MAX_RUN_BYTES: Final = 60_000  # of what one call may send: 65 507
# What the kernel says of a run whose pieces it would send one by one: they are larger than the interface takes.
_TOO_LARGE: Final = frozenset({errno.EINVAL, errno.EMSGSIZE})
_UNSUPPORTED: Final = frozenset({errno.EIO, errno.EOPNOTSUPP})  # an interface without checksums


class Sender(Protocol):
    """Sender of datagrams."""

    def note_unsent(self, error: OSError, count: int) -> None:
        """Note that so many datagrams were not sent; `BlockingIOError`: the kernel has no room."""
        ...


class Outbox(Flusher):
    """Outbox of one socket.

    Args:
        loop: whose rounds it goes by.
        sock: that sends.
        report_crash: is told of an exception that is a bug.
    """

    def __init__(
        self, loop: Loop, sock: DatagramSocket, report_crash: Callable[[Exception], None]
    ) -> None:
        self.sock = sock
        self._loop = loop
        self._report_crash = report_crash
        self._has_runs = sock.has_segments
        self._is_queued = False
        self._run: list[bytes] = []
        self._size = 0  # of each datagram but the last
        self._next = 0  # size that the next one may have at most; 0 where none may follow
        self._room = 0
        self._endpoint: Endpoint | None = None
        self._sender: Sender | None = None

    def send(self, data: bytes, endpoint: Endpoint, sender: Sender) -> None:
        """Send a datagram by the end of this round; `sender` is told if that fails."""
        size = len(data)
        if self._run:
            if (
                0 < size <= self._next
                and size <= self._room
                and endpoint is self._endpoint
                and sender is self._sender
            ):
                self._append(data, size)
                return
            self.flush()
        self._run.append(data)
        self._endpoint, self._sender = endpoint, sender
        self._size = size
        self._next = size if self._has_runs else 0
        self._room = MAX_RUN_BYTES - size
        if not self._is_queued:
            self._is_queued = True
            self._loop.flush_later(self)

    def flush(self) -> None:
        """Send what there is now."""
        run, endpoint, sender = self._run, self._endpoint, self._sender
        if endpoint is None or sender is None:
            return
        self._run, self._endpoint, self._sender = [], None, None
        if len(run) == 1:
            self._send_each(run, endpoint, sender)
        else:
            self._send_run(run, endpoint, sender)

    @override
    def flush_round(self) -> None:
        self._is_queued = False
        self.flush()

    @override
    def crash(self, error: Exception) -> None:
        self._report_crash(error)

    def _append(self, data: bytes, size: int) -> None:
        self._run.append(data)
        self._room -= size
        if len(self._run) == MAX_RUN:
            self.flush()
        elif size < self._size:
            self._next = 0

    def _send_run(self, run: list[bytes], endpoint: Endpoint, sender: Sender) -> None:
        try:
            self.sock.send_run(run, self._size, endpoint)
        except OSError as error:
            if error.errno in _UNSUPPORTED:
                self._has_runs = False
            elif error.errno not in _TOO_LARGE:
                sender.note_unsent(error, len(run))
                return
            self._send_each(run, endpoint, sender)

    def _send_each(self, run: list[bytes], endpoint: Endpoint, sender: Sender) -> None:
        for data in run:
            try:
                self.sock.send(data, endpoint)
            except OSError as error:
                sender.note_unsent(error, 1)
