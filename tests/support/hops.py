"""Both forms of the relay's hop, called alike, and sockets to try them on."""

import contextlib
import importlib
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from towonel.relay.hop import interpreted
from towonel.relay.hop.results import BROKEN, COUNT, PARSE, UNSENT_SHIFT
from towonel.wire.lanes import HEAD, FrameType

compiled = importlib.import_module("towonel.relay.hop._compiled")

type Call = Callable[[socket.socket, socket.socket, bytearray, int], int]
HEAD_OF_DATA: Final = FrameType.DATA << 28 | 3 << 24
SMALL: Final = 2048  # as small as the kernel lets a buffer be


@dataclass(frozen=True)
class Form:
    """One form of the hop."""

    forward: Call
    deliver: Call


INTERPRETED: Final = Form(
    lambda source, target, frame, head: interpreted.forward(
        source, target, memoryview(frame), head
    ),
    lambda source, target, inbox, head: interpreted.deliver(
        source, target, memoryview(inbox), head
    ),
)
COMPILED: Final = Form(
    lambda source, target, *rest: compiled.forward(source.fileno(), target.fileno(), *rest),
    lambda source, target, *rest: compiled.deliver(source.fileno(), target.fileno(), *rest),
)
FORMS: Final = {"python": INTERPRETED, "compiled": COMPILED}


@dataclass(frozen=True)
class Result:
    """Result of a hop, taken apart."""

    count: int
    unsent: int = 0
    broken: bool = False
    parse: bool = False


def take_apart(result: int) -> Result:
    """Return what a result that is no failure says."""
    assert result > 0
    unsent = result >> UNSENT_SHIFT & COUNT
    return Result(result & COUNT, unsent, bool(result & BROKEN), bool(result & PARSE))


def frame_of(payload: bytes, head: int = HEAD_OF_DATA) -> bytes:
    """Return a frame."""
    return HEAD.pack(head | len(payload)) + payload


@dataclass(frozen=True)
class Ends:
    """Two connections that do not wait: what `sender` sends comes to `source`, and `target` sends to `receiver`."""

    sender: socket.socket
    source: socket.socket
    target: socket.socket
    receiver: socket.socket

    def fill(self) -> int:
        """Fill the buffer of the target, and return how many bytes that took."""
        count = 0
        with contextlib.suppress(BlockingIOError):
            while True:
                count += self.target.send(bytes(SMALL))
        return count

    def drain(self) -> bytes:
        """Return all that has come to the receiver."""
        data = b""
        with contextlib.suppress(BlockingIOError):
            while more := self.receiver.recv(1 << 16):
                data += more
        return data


@contextlib.contextmanager
def open_ends() -> Iterator[Ends]:
    """Two connections inside the kernel, the second with small buffers."""
    with contextlib.ExitStack() as stack:
        ends = Ends(*socket.socketpair(), *socket.socketpair())
        for each in (ends.sender, ends.source, ends.target, ends.receiver):
            stack.enter_context(each)
            each.setblocking(False)
        ends.target.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SMALL)
        yield ends
