"""Socket of TLS, as sessions over TCP need one; who makes it chooses the library."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol


class SecureSocket(Protocol):
    """Non-blocking socket of a TLS connection, whose calls are those of `socket.socket`.

    After `send` took less than all, or raised BlockingIOError, the next call begins with the same bytes.
    """

    def shake_hands(self) -> None:
        """Go on with the handshake, and return once it is done; BlockingIOError until then."""

    def recv(self, bufsize: int, /) -> bytes:
        """Read what there is; BlockingIOError if there is nothing."""
        ...

    def send(self, data: memoryview, /) -> int:
        """Send bytes, and return how many were taken."""
        ...

    def fileno(self) -> int:
        """Return the descriptor."""
        ...

    def end(self) -> None:
        """Say that no bytes follow."""

    def close(self) -> None:
        """Close the socket."""


@dataclass(frozen=True, slots=True)
class SecurePeer:
    """Connection of an agent to what may be its edge.

    Args:
        sock: connected; its handshake is still to come.
        check: called when that is done; raises `TowonelError` unless it was with the edge.
    """

    sock: SecureSocket
    check: Callable[[], None]
