"""Links whose edge takes no new clients any more: each lasts until that edge closes it."""

import asyncio
import contextlib
from typing import Final

from towonel.tunnel.link import Link
from towonel.wire.errors import Code

MAX_LEAVING: Final = 2  # of one edge: each may hold what a link may. Clients of lanes go on


class LeavingLinks:
    """Links of one edge on which it has sent GoAway; where there are too many, the first one ends.

    Args:
        tasks: wait for their ends.
    """

    def __init__(self, tasks: asyncio.TaskGroup) -> None:
        self._tasks = tasks
        self._links: dict[Link, None] = {}

    def add(self, link: Link, exits: contextlib.AsyncExitStack) -> None:
        """Let a link's clients end, and close `exits` after it."""
        self._links[link] = None
        self._tasks.create_task(self._wait_closed(link, exits))
        if len(self._links) > MAX_LEAVING:
            next(iter(self._links)).close(Code.LIMIT_EXCEEDED)

    async def _wait_closed(self, link: Link, exits: contextlib.AsyncExitStack) -> None:
        try:
            async with exits:
                await link.wait_closed()
                del self._links[link]
        except Exception as error:  # noqa: BLE001 as of other links
            report_failure(error)


def report_failure(error: Exception) -> None:
    """Log a bug that ended a link; those to other edges go on."""
    asyncio.get_running_loop().call_exception_handler(
        {"message": "a link failed", "exception": error}
    )


async def wait_going_away(link: Link) -> bool:
    """Wait for the link's end or its edge's GoAway; return whether it was the latter."""
    async with asyncio.TaskGroup() as waiting:
        going = waiting.create_task(link.wait_going_away())
        ended = waiting.create_task(link.wait_closed())
        await asyncio.wait([going, ended], return_when=asyncio.FIRST_COMPLETED)
        is_going = not ended.done()
        going.cancel()
        ended.cancel()
    return is_going


async def ends_in(task: asyncio.Task[None], seconds: float) -> bool:
    """Return whether a task ends in so many seconds."""
    done, _ = await asyncio.wait([task], timeout=seconds)
    return bool(done)
