"""Choice of the engine: the hop compiled, or in Python, which does the same and needs no compiler."""

from enum import StrEnum
from importlib import import_module
from typing import Protocol, cast

type SocketName = tuple[str, int] | tuple[str, int, int, int]


class Hop(Protocol):
    """Engine, compiled: the hop of a message, as of `interpreted`, and calls of a connection, as of `sockets`."""

    def accept(self, listener: int, /) -> tuple[int, SocketName]:
        """Return the next connection, non-blocking, and the name of its peer."""
        ...

    def connect(self, address: SocketName, unsent: int, /) -> int:
        """Return a socket that is connecting, with the options of `tune_short`."""
        ...

    def end_on_close(self, descriptor: int, /) -> None:
        """Let a close end the bytes in order."""
        ...

    def forward(self, source: int, target: int, frame: bytearray, head: int, /) -> int:
        """Send what has come to one descriptor over the other, as one frame."""
        ...

    def deliver(self, source: int, target: int, inbox: bytearray, head: int, /) -> int:
        """Send the payload of one frame that has come to the one descriptor over the other."""
        ...


class Engine(StrEnum):
    """Engine that carries the bytes of clients."""

    AUTO = "auto"  # the compiled one where it is there
    COMPILED = "compiled"
    PYTHON = "python"


def load_hop(engine: Engine) -> Hop | None:
    """Return the compiled hop, or None for the one in Python.

    Raises:
        ImportError: COMPILED is wanted, and is not there, or is one for another Python.
    """
    if engine is Engine.PYTHON:
        return None
    try:
        return cast("Hop", import_module("towonel.relay.hop._compiled"))
    except ImportError:
        if engine is Engine.COMPILED:
            raise
        return None


def choose(engine: Engine) -> Engine:
    """Return which engine runs here, COMPILED or PYTHON.

    Raises:
        ImportError: as of `load_hop`.
    """
    return Engine.COMPILED if load_hop(engine) is not None else Engine.PYTHON


def parse_engine(value: object) -> object:
    """Return which engine runs here, of the value of a setting.

    Raises:
        ValueError: there is no such engine, or not here; its text is the rule, and the fix.
    """
    if not isinstance(value, str):
        return value
    if value not in {*Engine}:
        raise ValueError("must be auto, compiled or python")
    try:
        return choose(Engine(value))
    except ImportError as error:
        raise ValueError(
            f"must be auto or python here, where the compiled engine cannot be loaded ({error}); to get it,"
            " install a C compiler and the headers of Python, and then Towonel once more"
        ) from None
