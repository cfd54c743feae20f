"""Relay between two pipes: carries bytes until both directions have ended."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from towonel.tunnel.pipe import Pipe
from towonel.wire.errors import Code, TowonelError

type CountBytes = Callable[[int], object]
type Admit = Callable[[], Awaitable[object]]


@dataclass(slots=True)
class _Relay:
    a: Pipe
    b: Pipe
    admit: Admit | None
    code: Code = Code.NORMAL

    def fail(self, code: Code) -> None:
        if self.code is Code.NORMAL:
            self.code = code

    def abort(self, code: Code) -> None:
        self.fail(code)
        self.a.abort(code)
        self.b.abort(code)

    async def carry(self, source: Pipe, sink: Pipe, count: CountBytes) -> None:
        while True:
            if self.admit is not None:
                await self.admit()
            try:
                data = await source.read()
            except TowonelError as error:
                self.abort(error.code)
                return
            try:
                if not data:
                    await sink.write_eof()
                    return
                await sink.write(data)
            except TowonelError as error:
                self.fail(error.code)
                return
            count(len(data))


async def relay(
    a: Pipe,
    b: Pipe,
    count_a_to_b: CountBytes,
    count_b_to_a: CountBytes,
    admit: Admit | None = None,
) -> Code:
    """Carry bytes both ways; an end of one side's bytes becomes a half-close of the other.

    A side that fails while it is read takes the other down with its code. A side that only refuses
    to be written to may still have an answer under way (an HTTP server that rejects an upload), so
    that one is carried to its end first. The pipes stay the caller's, to close.

    Args:
        a: one side.
        b: the other.
        count_a_to_b: called with the length of each chunk that was handed over.
        count_b_to_a: the same for the other direction.
        admit: returns when a chunk may be read, of either side.

    Returns:
        NORMAL, or the code of the first failure.
    """
    run = _Relay(a, b, admit)
    try:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(run.carry(a, b, count_a_to_b))
            tasks.create_task(run.carry(b, a, count_b_to_a))
    except asyncio.CancelledError:
        run.abort(Code.CANCELLED)
        raise
    return run.code
