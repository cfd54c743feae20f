"""Clean-up that a cancellation does not cut short."""

import asyncio
from collections.abc import Coroutine
from typing import Any


async def finish_despite_cancellation(work: Coroutine[Any, Any, None]) -> None:
    """Run to the end, and pass on a cancellation only then; `work` bounds its own time."""
    task, interruption = asyncio.create_task(work), None  # noqa: TID251 it ends here
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError as error:
            interruption = error
    task.result()
    if interruption is not None:
        raise interruption
