"""Pauses in long loops, for others to have their turn."""

import asyncio
from collections.abc import AsyncGenerator, Collection

YIELD_EVERY = 100  # items looked at in between: below a millisecond


async def with_pauses[T](watched: Collection[T]) -> AsyncGenerator[T]:
    """Yield each of what is there now, and let others have their turn in between."""
    for number, each in enumerate(tuple(watched)):
        if number % YIELD_EVERY == 0:
            await asyncio.sleep(0)
        yield each
