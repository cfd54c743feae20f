"""Carry bytes between two pipes until both directions have ended."""

import asyncio
from dataclasses import dataclass

from towonel.tunnel.byte_counter import ByteCounter
from towonel.tunnel.pipe import Pipe
from towonel.wire.errors import Code, TowonelError


@dataclass(frozen=True, slots=True)
class Transfer:
    """What a relay carried and how it ended: NORMAL, or the first failure."""

    a_to_b: int
    b_to_a: int
    code: Code


@dataclass(slots=True)
class _Run:
    a: Pipe
    b: Pipe
    code: Code = Code.NORMAL

    def fail(self, code: Code) -> None:
        if self.code is Code.NORMAL:
            self.code = code

    def abort(self, code: Code) -> None:
        self.fail(code)
        self.a.abort(code)
        self.b.abort(code)


@dataclass(slots=True)
class _Direction:
    source: Pipe
    sink: Pipe
    meter: ByteCounter
    carried_bytes: int = 0


async def relay(
    a: Pipe, b: Pipe, meters: tuple[ByteCounter, ByteCounter] | None = None
) -> Transfer:
    """Carry bytes both ways; an end of one side's bytes becomes a half-close of the other.

    A side that fails while it is read takes the other down with its code. A side that only refuses
    to be written to may still have an answer under way (an HTTP server that rejects an upload), so
    that one is carried to its end first. The pipes stay the caller's, to close.

    Args:
        a: one side.
        b: the other.
        meters: count the bytes from a to b, and those from b to a, chunk by chunk.

    Returns:
        The bytes that were handed over, and NORMAL or the code of the first failure.
    """
    run = _Run(a, b)
    meter_forth, meter_back = meters or (ByteCounter(), ByteCounter())
    forth, back = _Direction(a, b, meter_forth), _Direction(b, a, meter_back)
    try:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(_carry(run, forth))
            tasks.create_task(_carry(run, back))
    except asyncio.CancelledError:
        run.abort(Code.CANCELLED)
        raise
    return Transfer(forth.carried_bytes, back.carried_bytes, run.code)


async def _carry(run: _Run, way: _Direction) -> None:
    while True:
        try:
            data = await way.source.read()
        except TowonelError as error:
            run.abort(error.code)
            return
        try:
            if not data:
                await way.sink.write_eof()
                return
            await way.sink.write(data)
        except TowonelError as error:
            run.fail(error.code)
            return
        way.carried_bytes += len(data)
        way.meter.count += len(data)
