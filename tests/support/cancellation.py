"""Cancellation of a task at the nth moment at which it waits: each moment once, and none by chance."""

import asyncio
import itertools
from collections.abc import Callable, Coroutine, Generator
from functools import partial
from typing import Any


class CancelledAt:
    """Awaitable that runs a coroutine, and cancels its task twice as it waits for the nth time.

    Args:
        step: how often it waits before; `was_reached` tells whether it waited so often.
        when_answered: cancel when what it waits for has come, but before the task gets it.
    """

    def __init__(
        self, work: Coroutine[Any, Any, None], step: int, *, when_answered: bool = False
    ) -> None:
        self.was_reached = False
        self._work = work
        self._step = step
        self._when_answered = when_answered

    async def run(self) -> None:
        await self

    def __await__(self) -> Generator[Any, Any]:
        inner = self._work.__await__()
        resume: Callable[[], Any] = partial(inner.send, None)
        for step in itertools.count():
            try:
                awaited = resume()
            except StopIteration:
                return
            if step == self._step:
                self._cancel_soon(awaited)
            try:
                yield awaited
                resume = partial(inner.send, None)
            except BaseException as error:  # noqa: BLE001 all of them are the coroutine's
                resume = partial(inner.throw, error)

    def _cancel_soon(self, awaited: asyncio.Future[Any] | None) -> None:
        self.was_reached = True
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        assert task, "it is awaited in a task"

        def cancel(*_: object) -> None:
            task.cancel()
            loop.call_soon(task.cancel)  # one in a hurry

        if self._when_answered and awaited is not None:
            awaited.add_done_callback(cancel)
        else:
            loop.call_soon(cancel)
