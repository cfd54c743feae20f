"""Process of another user that takes all the pipes that this user may have."""

import contextlib
import fcntl
import os
from collections.abc import Generator
from multiprocessing.connection import Connection

from support import fork_server

from towonel.relay.pipes import MIN_BYTES, PIPE_BYTES


def take_pipes(user: int, connection: Connection) -> None:
    """Take all the pipes that a user may have at their full size, until the connection ends."""
    os.setuid(user)
    size, smallest = PIPE_BYTES, PIPE_BYTES
    while smallest >= MIN_BYTES:
        _, writer = os.pipe()
        try:
            fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, size)
        except PermissionError:
            size = MIN_BYTES  # which is what a pipe has at first
        smallest = fcntl.fcntl(writer, fcntl.F_GETPIPE_SZ)
    connection.send(smallest)
    with contextlib.suppress(EOFError):
        connection.recv()


@contextlib.contextmanager
def without_pipes(user: int) -> Generator[None]:
    """Let a user have no pipe of a useful size, for the time of the block."""
    context = fork_server.context()
    ours, theirs = context.Pipe()
    child = context.Process(target=take_pipes, args=(user, theirs), daemon=True)
    child.start()
    theirs.close()
    with ours:
        assert ours.poll(20)
        ours.recv()
        yield
    child.join()
