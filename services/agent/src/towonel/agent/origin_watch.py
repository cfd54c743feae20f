"""Watch over connections to origins: one whose origin is gone without a word is ended, and one that is idle.

Keepalive finds an origin that is gone while nothing is written; this does while something is.
"""

import asyncio
import contextlib
from collections.abc import Generator

from towonel.agent.origin_pipe import OriginPipe
from towonel.agent.timing import OriginTiming
from towonel.tunnel.tcp_output import with_pauses
from towonel.wire.errors import Code


class OriginWatch:
    """Watch over the pipes to origins."""

    def __init__(self, timing: OriginTiming) -> None:
        self._timing = timing
        self._pipes: set[OriginPipe] = set()

    @contextlib.contextmanager
    def track(self, pipe: OriginPipe) -> Generator[None]:
        """Watch a pipe for the time of the block."""
        self._pipes.add(pipe)
        try:
            yield
        finally:
            self._pipes.discard(pipe)

    async def run(self) -> None:
        """Look for ever; a pipe whose origin is gone fails with ORIGIN_TIMEOUT, an idle one with CLIENT_TIMEOUT."""
        timing, loop = self._timing, asyncio.get_running_loop()
        while True:
            await asyncio.sleep(timing.check_s)
            async for pipe in with_pauses(self._pipes):
                if pipe.is_unacknowledged(loop.time(), timing.unacknowledged_s):
                    pipe.abort(Code.ORIGIN_TIMEOUT)
                elif pipe.is_idle(loop.time()):
                    pipe.abort(Code.CLIENT_TIMEOUT)
