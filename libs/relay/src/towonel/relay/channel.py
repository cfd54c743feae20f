"""Channel between control and a worker: messages in CBOR, with descriptors, over a Unix socket pair.

SOCK_SEQPACKET keeps messages apart and in order, and lets either side hand over sockets. A message is an
array of its type, a text, and a map. What the socket does not take is held, up to a bound.
"""

import array
import contextlib
import os
import socket
import traceback
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

from towonel.wire import cbor
from towonel.wire.errors import Code, ProtocolError

MAX_MESSAGE_BYTES: Final = 64 * 1024
MAX_DESCRIPTORS: Final = 16
_MAX_TRACEBACK_CHARS: Final = 8 * 1024
MAX_HELD_BYTES: Final = 256 * 1024 * 1024  # above all that control tells a worker at its start
_ANCILLARY_BYTES: Final = socket.CMSG_SPACE(MAX_DESCRIPTORS * array.array("i").itemsize)


@dataclass(frozen=True, slots=True)
class ChannelMessage:
    """Message of control or worker; whoever receives it owns its descriptors."""

    kind: str
    fields: Mapping[str, Any]
    descriptors: tuple[int, ...] = ()


class ChannelClosed(Exception):
    """Error of a channel whose other end is gone, or does not read."""


class Channel:
    """One end of a channel.

    Args:
        sock: of a pair of SOCK_SEQPACKET; made non-blocking, and closed with the channel.
        vital: types of messages without which this end knows something wrong.
        max_held_bytes: of messages that wait for the other end to read, at most.

    Attributes:
        dropped: messages whose descriptors did not arrive for want of room in this process.
    """

    def __init__(
        self,
        sock: socket.socket,
        vital: frozenset[str] = frozenset(),
        max_held_bytes: int = MAX_HELD_BYTES,
    ) -> None:
        sock.setblocking(False)
        self._sock = sock
        self._vital = vital
        self._held: deque[tuple[bytes, tuple[int, ...]]] = deque()
        self._held_bytes = 0
        self._max_held_bytes = max_held_bytes
        self.dropped = 0

    @classmethod
    def pair(cls) -> tuple["Channel", socket.socket]:
        """Return a channel, and the socket that its other end is made of, in another process."""
        own, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        return cls(own), other

    def fileno(self) -> int:
        """Return the descriptor, which tells when to `receive` and `flush`."""
        return self._sock.fileno()

    @property
    def holds(self) -> bool:
        """Whether messages wait for the other end to read."""
        return bool(self._held)

    @property
    def waiting(self) -> int:
        """Number of messages that wait for the other end to read."""
        return len(self._held)

    def send(self, kind: str, fields: Mapping[str, Any], descriptors: Sequence[int] = ()) -> None:
        """Send a message; its descriptors are closed here in the end, sent or not.

        Raises:
            ProtocolError: TOO_LARGE for more than 64 KiB or 16 descriptors.
            ChannelClosed: the other end is gone, or too much waits for it.
        """
        data = cbor.encode([kind, fields])
        if len(data) > MAX_MESSAGE_BYTES or len(descriptors) > MAX_DESCRIPTORS:
            _close_all(descriptors)
            raise ProtocolError(Code.TOO_LARGE, f"{kind} of {len(data)} bytes")
        if self._sock.fileno() < 0 or self._held_bytes + len(data) > self._max_held_bytes:
            _close_all(descriptors)
            raise ChannelClosed(f"closed, or {self._held_bytes} bytes wait")
        self._held.append((data, tuple(descriptors)))
        self._held_bytes += len(data)
        if len(self._held) == 1:
            self.flush()

    def flush(self) -> None:
        """Send what is held, as far as the other end has room.

        Raises:
            ChannelClosed: the other end is gone.
        """
        while self._held:
            data, descriptors = self._held[0]
            rights = array.array("i", descriptors)
            ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)] if descriptors else []
            try:
                self._sock.sendmsg([data], ancillary)
            except BlockingIOError:
                return
            except OSError as error:
                raise ChannelClosed(str(error)) from error
            self._held.popleft()
            self._held_bytes -= len(data)
            _close_all(descriptors)

    def receive(self) -> Iterator[ChannelMessage]:
        """Yield the messages that have come.

        Raises:
            ChannelClosed: the other end is gone.
            ProtocolError: MALFORMED; OVERLOADED for a vital message whose descriptors found no room.
        """
        while True:
            try:
                data, ancillary, flags, _ = self._sock.recvmsg(
                    MAX_MESSAGE_BYTES, _ANCILLARY_BYTES, socket.MSG_CMSG_CLOEXEC
                )
            except BlockingIOError:
                return
            except OSError as error:
                raise ChannelClosed(str(error)) from error
            if not data:
                raise ChannelClosed("the other end is closed")
            descriptors = _descriptors_of(ancillary)
            if flags & socket.MSG_CTRUNC:
                self.dropped += 1
                _close_all(descriptors)
                if (kind := _decode(data, ()).kind) in self._vital:
                    raise ProtocolError(Code.OVERLOADED, f"no descriptor is left for {kind}")
            else:
                yield _decode(data, descriptors)

    def close(self) -> None:
        """Close this end, and the descriptors of what was not sent."""
        for _, descriptors in self._held:
            _close_all(descriptors)
        self._held.clear()
        self._held_bytes = 0
        self._sock.close()


def describe_crash(error: Exception) -> str:
    """Return the end of a traceback, as much as a message may have."""
    return "".join(traceback.format_exception(error))[-_MAX_TRACEBACK_CHARS:]


def _decode(data: bytes, descriptors: tuple[int, ...]) -> ChannelMessage:
    with contextlib.suppress(ProtocolError):
        match cast("Any", cbor.decode(data)):
            case [str(kind), {**fields}]:
                return ChannelMessage(kind, cast("dict[str, Any]", fields), descriptors)
            case _:
                pass
    _close_all(descriptors)
    raise ProtocolError(Code.MALFORMED, "expected a type and a map")


def _descriptors_of(ancillary: list[tuple[int, int, bytes]]) -> tuple[int, ...]:
    found = array.array("i")
    for level, kind, data in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            found.frombytes(data[: len(data) - len(data) % found.itemsize])
    return tuple(found)


def _close_all(descriptors: Sequence[int]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)
