"""How many are here, and waiting for the last one to leave."""

import asyncio
from types import TracebackType


class InFlight:
    """A count with an end to wait for; `with crowd:` counts one for the time of the block."""

    def __init__(self) -> None:
        self.count = 0
        self._gone = asyncio.Event()
        self._gone.set()

    def acquire(self) -> None:
        self.count += 1
        self._gone.clear()

    def release(self) -> None:
        self.count -= 1
        if not self.count:
            self._gone.set()

    async def wait_idle(self) -> None:
        """Wait until nobody is here."""
        await self._gone.wait()

    def __enter__(self) -> None:
        self.acquire()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.release()
